# POD PROGRAM KILL: moves a static pod's manifest aside, and kills its process where KILL is `yes`.
# The folder beside `manifests` is on the same file system, so the move is one rename:
# the manifest is never in two places, nor in none.
live=/etc/kubernetes/manifests/$1.yaml
held=/etc/kubernetes/recoup-held/$1.yaml
before=$(component "$2" "")
if [ -e "$live" ]; then
    mkdir -p "${held%/*}" && mv -f "$live" "$held" || exit 1
    echo changed
elif [ ! -e "$held" ]; then
    echo "there is no static pod $1 on this node" >&2
    exit 1
fi
if [ "$3" = yes ]; then
    # Until nothing is left: the kubelet may restart it once before it notices that the manifest is gone.
    tries=0
    [ -z "$before" ] || printf '%s\n' "$before" | hit KILL
    while [ -n "$(component "$2" "")" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            echo "$2 does not end" >&2
            exit 1
        fi
        sleep 0.05
        component "$2" "" | hit KILL
    done
elif [ -n "$before" ]; then
    printf '%s\n' "$before" | sed 's/^/process /'
fi
