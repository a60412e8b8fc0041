# Functions for limits: the control group of a component, the disks behind its files, and what is set there. After
# process.sh. Version 1 and 2 of control groups are told apart per controller, for a machine may have both.

# control_group CONTROLLER PROC_CGROUP MOUNTINFO: prints `VERSION DIRECTORY` of a process's own group, from its
# /proc/PID/cgroup and this process's mounts. What the node sees of the hierarchy may begin below its machine's
# root: then the mount's root is cut off the path. Nothing where the group cannot be reached from here. CONTROLLER is
# version 1's name of it: where no hierarchy of version 1 has it, it is version 2's group.
control_group() {
    awk -v controller="$1" '
        function has(list) { return index("," list ",", "," controller ",") > 0 }
        FNR == NR {
            names = $0
            sub(/^[^:]*:/, "", names)
            path = names
            sub(/^[^:]*:/, "", path)
            sub(/:.*/, "", names)
            if (names == "") unified = path
            else if (has(names)) { own = path; first = 1 }
            next
        }
        {
            for (dash = 7; dash < NF && $dash != "-"; dash++);
            if (first ? $(dash + 1) != "cgroup" || !has($(dash + 3)) : $(dash + 1) != "cgroup2") next
            path = first ? own : unified
            if (path == "" || path ~ /\/\.\.(\/|$)/) next
            if ($4 != "/") {
                if (path != $4 && index(path, $4 "/") != 1) next
                path = substr(path, length($4) + 1)
            }
            sub(/\/$/, "", path)
            print (first ? 1 : 2), $5 path
            exit
        }' "$2" "$3"
}

# bearer DIRECTORY: the group that is to bear a component's limit: its pod's, so that a container that is started
# anew is limited as well, or its unit's. Nothing where it has none of its own.
bearer() {
    dir=$1
    while [ -n "$dir" ]; do
        case ${dir##*/} in
            pod?* | *-pod*.slice | *.service) echo "$dir"; return 0 ;;
        esac
        dir=${dir%/*}
    done
    return 1
}

# group_of PID CONTROLLER: sets $version and $bearer. Fails with words where there is no such group.
group_of() {
    set -- "$1" "$2" $(control_group "$2" "/proc/$1/cgroup" /proc/self/mountinfo)
    if [ $# -lt 4 ] || [ ! -d "$4" ]; then
        echo "the control group ($2) of process $1 cannot be reached from this node" >&2
        return 1
    fi
    version=$3
    bearer=$(bearer "$4") && return 0
    echo "process $1 has no control group ($2) of its own on this node, it is in $4" >&2
    return 1
}

# disks PID: numbers (MAJOR:MINOR) of the disks behind what the process can write to. Limits bear on whole disks.
disks() {
    awk '
        { for (dash = 7; dash < NF && $dash != "-"; dash++); split($6, options, ",") }
        options[1] == "rw" { print $3, $(dash + 2) }' "/proc/$1/mountinfo" | sort -u |
        while read -r number source; do
            # Some file systems (btrfs) have a number of their own: their source is the disk.
            [ "${number%%:*}" != 0 ] ||
                { read -r number < "/sys/class/block/${source##*/}/dev"; } 2> /dev/null || continue
            block=/sys/dev/block/$number
            [ -e "$block" ] || continue
            [ ! -e "$block/partition" ] || { read -r number < "$block/../dev"; } 2> /dev/null || continue
            echo "$number"
        done | sort -u
}

# quota VERSION DIRECTORY: prints `QUOTA PERIOD` in microseconds; the quota of none is -1 or max.
quota() {
    case $1 in
        1) echo "$(cat "$2/cpu.cfs_quota_us")" "$(cat "$2/cpu.cfs_period_us")" ;;
        2) cat "$2/cpu.max" ;;
    esac
}

# set_quota VERSION DIRECTORY QUOTA PERIOD
set_quota() {
    case $1 in
        # A period is changed while there is no quota: the share of neither moment is one that nobody asked for.
        1)
            echo -1 > "$2/cpu.cfs_quota_us" && echo "$4" > "$2/cpu.cfs_period_us" || return 1
            [ "$3" = -1 ] || echo "$3" > "$2/cpu.cfs_quota_us"
            ;;
        2) echo "$3 $4" > "$2/cpu.max" ;;
    esac
}

# disk_file KEY: version 1's file of a limit that version 2 calls KEY.
disk_file() {
    case $1 in
        rbps) echo blkio.throttle.read_bps_device ;;
        wbps) echo blkio.throttle.write_bps_device ;;
        riops) echo blkio.throttle.read_iops_device ;;
        wiops) echo blkio.throttle.write_iops_device ;;
    esac
}

# disk_limit VERSION DIRECTORY KEY DISK: prints it; none is 0 or max.
disk_limit() {
    case $1 in
        1) awk -v disk="$4" '$1 == disk { found = $2 } END { print found + 0 }' "$2/$(disk_file "$3")" ;;
        2)
            awk -v disk="$4" -v key="$3=" '
                $1 == disk { for (i = 2; i <= NF; i++) if (index($i, key) == 1) found = substr($i, length(key) + 1) }
                END { print found == "" ? "max" : found }' "$2/io.max"
            ;;
    esac
}

# set_disk_limit VERSION DIRECTORY KEY DISK VALUE
set_disk_limit() {
    case $1 in
        1) echo "$4 $5" > "$2/$(disk_file "$3")" ;;
        2) echo "$4 $3=$5" > "$2/io.max" ;;
    esac
}

# note_of PROGRAM: the file in which the limits stand that were there before, and those that were asked for:
# `cpu VERSION DIRECTORY QUOTA PERIOD QUOTA PERIOD`, `io VERSION DIRECTORY KEY DISK VALUE VALUE` (first what was, then
# what is wanted), `controller DIRECTORY` (its children have io because we switched it on).
note_of() {
    echo "/run/recoup/limit-$1"
}

# clear_limits NOTE: puts back what the note says, last first, and removes it; prints `changed` where something was
# otherwise. A group that is gone took its limits along.
clear_limits() {
    if [ ! -e "$1" ]; then
        # Left by an attempt that was killed before it changed anything.
        rm -f "$1.new" "$1.undo"
        return 0
    fi
    # A deadline may do the same at this moment: then it is done.
    awk '{ line[NR] = $0 } END { for (n = NR; n > 0; n--) print line[n] }' "$1" > "$1.undo" 2> /dev/null || {
        [ ! -e "$1" ] && return 0
        return 1
    }
    while read -r kind a b c d e rest; do
        case $kind in
            cpu)
                [ -d "$b" ] && [ "$(quota "$a" "$b")" != "$c $d" ] || continue
                set_quota "$a" "$b" "$c" "$d" || { [ ! -d "$b" ] && continue; return 1; }
                ;;
            io)
                [ -d "$b" ] && [ "$(disk_limit "$a" "$b" "$c" "$d")" != "$e" ] || continue
                set_disk_limit "$a" "$b" "$c" "$d" "$e" || { [ ! -d "$b" ] && continue; return 1; }
                ;;
            controller)
                [ -d "$a" ] && grep -qw io "$a/cgroup.subtree_control" || continue
                echo -io > "$a/cgroup.subtree_control" || return 1
                ;;
        esac
        echo changed
    done < "$1.undo"
    rm -f "$1" "$1.new" "$1.undo"
    rmdir "${1%/*}" 2> /dev/null
    return 0
}
