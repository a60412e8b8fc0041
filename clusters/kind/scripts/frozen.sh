# Functions for the survey: control groups that are frozen.

# frozen: the files that say so.
frozen() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        grep -rlx --include=cgroup.freeze 1 /sys/fs/cgroup 2>/dev/null
    else
        grep -rlx --include=freezer.state FROZEN /sys/fs/cgroup/freezer 2>/dev/null
    fi
}

# left_frozen: those that stay so for five seconds. runc freezes the group of every container that has ended, to
# kill what is left in it, and thaws it again: on a busy machine that takes more than a moment.
left_frozen() {
    found=$(frozen)
    for _ in 1 2 3 4 5; do
        [ -n "$found" ] || return 0
        sleep 1
        found=$(frozen | grep -Fx "$found")
    done
    [ -z "$found" ] || printf '%s\n' "$found"
}
