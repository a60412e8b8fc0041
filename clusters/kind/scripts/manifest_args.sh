# POD [FLAG VALUE]…: gives flags of a static pod's command other values, and keeps the manifest as it was.
# The kubelet reads whatever is in its folder, so the work is done beside it and moved in by one rename.
live=/etc/kubernetes/manifests/$1.yaml
kept=/etc/kubernetes/recoup-original/$1.yaml
if [ ! -e "$live" ]; then
    echo "there is no manifest of static pod $1 on this node" >&2
    exit 1
fi
shift
mkdir -p "${kept%/*}" || exit 1
if [ ! -e "$kept" ]; then
    cp -p "$live" "$kept.part" && mv "$kept.part" "$kept" || exit 1
fi
cp -p "$live" "$kept.new" || exit 1
while [ $# -ge 2 ]; do
    awk -v flag="--$1" -v value="$2" '
        !over && /^ *(- )?command: *$/ { inside = 1; print; next }
        inside && /^ *- / {
            item = $0
            sub(/^ *- */, "", item)
            gsub(/^["\047]|["\047]$/, "", item)
            if (head == "") { head = $0; sub(/- .*$/, "- ", head) }
            if (item == flag || index(item, flag "=") == 1) {
                if (!done) print head flag "=" value
                done = 1
                next
            }
            print
            next
        }
        inside { inside = 0; over = 1; if (head != "" && !done) { print head flag "=" value; done = 1 } }
        { print }
        END { exit !done }' "$kept.new" > "$kept.edited" || { echo "the manifest has no command to edit" >&2; exit 1; }
    # Into the copy, which has the manifest's owner and mode.
    cat "$kept.edited" > "$kept.new" || exit 1
    shift 2
done
rm -f "$kept.edited"
mv -f "$kept.new" "$live" || exit 1
echo changed
