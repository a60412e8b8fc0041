# PROGRAM UNIT QUOTA RBPS WBPS RIOPS WIOPS: limits a component, in place of an earlier limit of ours. QUOTA is in
# microseconds of every 100 ms, the others a second and disk; what is empty is not limited. What is there before is
# noted before anything is changed.
note=$(note_of "$1")
found=$(component "$1" "$2")
if [ -z "$found" ]; then
    echo "no $1 runs on this node" >&2
    exit 1
fi
clear_limits "$note" || exit 1
# Nothing is left of an attempt that fails.
trap 'rm -f "$note.new"; rmdir "${note%/*}" 2> /dev/null' EXIT
pid=${found%% *}
mkdir -p "${note%/*}" && : > "$note.new" || exit 1
if [ -n "$3" ]; then
    group_of "$pid" cpu || exit 1
    echo "cpu $version $bearer $(quota "$version" "$bearer") $3 100000" >> "$note.new"
fi
if [ -n "$4$5$6$7" ]; then
    disks=$(disks "$pid")
    if [ -z "$disks" ]; then
        echo "no disk is known behind what $1 can write to" >&2
        exit 1
    fi
    group_of "$pid" blkio || exit 1
    groups=$bearer
    if [ "$version" = 1 ]; then
        # Here a group's limit does not bear on those below it: each gets its own.
        groups=$(find "$bearer" -type d)
    elif [ ! -e "$bearer/io.max" ]; then
        # From the top down, each gives the controller to its children.
        above=${bearer%/*}
        missing=
        while [ -e "$above/cgroup.subtree_control" ] && ! grep -qw io "$above/cgroup.subtree_control"; do
            missing="$above $missing"
            above=${above%/*}
        done
        for above in $missing; do echo "controller $above" >> "$note.new"; done
    fi
    for limit in "rbps=$4" "wbps=$5" "riops=$6" "wiops=$7"; do
        [ -n "${limit#*=}" ] || continue
        for group in $groups; do
            for disk in $disks; do
                key=${limit%%=*}
                before=max
                [ ! -e "$group/io.max" ] && [ "$version" = 2 ] ||
                    before=$(disk_limit "$version" "$group" "$key" "$disk") || exit 1
                echo "io $version $group $key $disk $before ${limit#*=}" >> "$note.new"
            done
        done
    done
fi
mv -f "$note.new" "$note" || exit 1
while read -r kind a b c d e f; do
    case $kind in
        cpu) set_quota "$a" "$b" $e $f ;;
        io) set_disk_limit "$a" "$b" "$c" "$d" "$f" ;;
        controller) echo +io > "$a/cgroup.subtree_control" ;;
    esac && continue
    echo "the kernel refuses the limit ($kind $b): a group below it may have a larger one of its own" >&2
    clear_limits "$note" > /dev/null
    exit 1
done < "$note"
echo changed
printf '%s\n' "$found" | sed 's/^/process /'
