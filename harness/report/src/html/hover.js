// Shows the time under the pointer; everything else on the page works without it.
for (const svg of document.querySelectorAll("svg[data-axis]")) {
  const [from, to, left, right, width] = svg.dataset.axis.split(" ").map(Number);
  const make = (name) => svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  const line = make("line");
  const text = make("text");
  line.setAttribute("class", "pointer");
  text.setAttribute("class", "pointer");
  const show = (on) => [line, text].forEach((part) => part.setAttribute("visibility", on ? "visible" : "hidden"));
  show(false);
  svg.addEventListener("mouseleave", () => show(false));
  svg.addEventListener("mousemove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    if (x < left || x > right) return show(false);
    const seconds = from + ((x - left) / (right - left)) * (to - from);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.setAttribute("y1", 24);
    line.setAttribute("y2", svg.viewBox.baseVal.height);
    text.setAttribute("x", x);
    text.setAttribute("y", 10);
    text.textContent = (seconds < 0 ? "" : "+") + seconds.toFixed(2) + " s";
    show(true);
  });
}
