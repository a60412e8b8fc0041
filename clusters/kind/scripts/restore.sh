# POD: moves a static pod's manifest back. A manifest in place wins over the one held:
# somebody else has put it there meanwhile.
live=/etc/kubernetes/manifests/$1.yaml
held=/etc/kubernetes/recoup-held/$1.yaml
if [ -e "$held" ]; then
    # A deadline may do the same at this moment: then it is done.
    if [ -e "$live" ]; then rm -f "$held"; else mv "$held" "$live" || [ ! -e "$held" ]; fi || exit 1
    rmdir "${held%/*}" 2>/dev/null
    echo changed
elif [ ! -e "$live" ] && [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
    # A worker has no static pods to miss; a control plane has.
    echo "the manifest $live is missing, and ${held%/*} does not hold it" >&2
    exit 1
fi
exit 0
