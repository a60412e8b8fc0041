# POD: puts the manifest back as it was before its flags were changed. Where the pod is held down, that stays so.
live=/etc/kubernetes/manifests/$1.yaml
held=/etc/kubernetes/recoup-held/$1.yaml
kept=/etc/kubernetes/recoup-original/$1.yaml
[ -e "$live" ] || [ ! -e "$held" ] || live=$held
if [ -e "$kept" ]; then
    # Somebody else may have moved it meanwhile: then it is done.
    mv -f "$kept" "$live" || [ ! -e "$kept" ] || exit 1
    echo changed
fi
rm -f "$kept.part" "$kept.new" "$kept.edited"
rmdir "${kept%/*}" 2> /dev/null
exit 0
