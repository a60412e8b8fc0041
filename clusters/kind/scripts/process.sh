# Functions for the other scripts: a node's processes, read from /proc by the shell
# itself, for a node image may lack ps and pgrep, and every fork costs a millisecond.

# stat_of PID: sets $state and $started (fields 3 and 22 of its stat file).
# Fails where the process is gone, or dead and not yet waited for.
stat_of() {
    { read -r line < "/proc/$1/stat"; } 2>/dev/null || return 1
    # Field 2 is the program's name in parentheses, whatever that holds: cut after the last one.
    set -- ${line##*) }
    [ $# -ge 20 ] || return 1
    state=$1
    shift 19
    started=$1
    [ "$state" != Z ] && [ "$state" != X ]
}

# runs PID PROGRAM: the process executes a file of that name.
runs() {
    exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
    exe=${exe% (deleted)}
    [ "${exe##*/}" = "$2" ]
}

# candidates PROGRAM: numbers of processes whose 15-character name fits.
candidates() {
    short=$(printf %.15s "$1")
    for dir in /proc/[0-9]*; do
        { read -r comm < "$dir/comm"; } 2>/dev/null || continue
        [ "$comm" = "$short" ] && echo "${dir#/proc/}"
    done
}

# component PROGRAM UNIT: prints `PID STARTED STATE` of each process of a component. One that systemd
# runs is its unit's main process; the others share the node's network, which a pod's own
# process of the same name does not.
component() {
    if [ -n "$2" ] && pids=$(systemctl show --property MainPID --value "$2" 2>/dev/null); then
        :
    else
        pids=$(candidates "$1")
    fi
    network=$(readlink /proc/1/ns/net)
    for pid in $pids; do
        [ "$pid" -gt 0 ] && runs "$pid" "$1" || continue
        [ "$(readlink "/proc/$pid/ns/net" 2>/dev/null)" = "$network" ] || continue
        stat_of "$pid" && echo "$pid $started $state"
    done
    return 0
}

# hit SIGNAL: reads `PID STARTED STATE` lines, signals each that is still the same process, and reports it
# as it was before. Thawing what is not frozen changes nothing.
hit() {
    while read -r pid began before; do
        stat_of "$pid" && [ "$started" = "$began" ] || continue
        kill -s "$1" "$pid" 2>/dev/null || continue
        echo "process $pid $began $before"
        [ "$1" = CONT ] && [ "$before" != T ] && [ "$before" != t ] || echo changed
    done
    return 0
}
