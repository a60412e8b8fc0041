# Can a component's limits be written here? What is there is written back: nothing changes.
trial() {
    for program in etcd kube-proxy kubelet; do
        unit=
        [ $program != kubelet ] || unit=kubelet.service
        pid=$(component $program "$unit" | head -n 1 | cut -d ' ' -f 1)
        [ -n "$pid" ] || continue
        if [ "$1" = cpu ]; then
            group_of "$pid" cpu 2> /dev/null || continue
            file=$bearer/cpu.max
            [ "$version" = 2 ] || file=$bearer/cpu.cfs_quota_us
            value=$(cat "$file") && echo "$value" > "$file"
            return
        fi
        disk=$(disks "$pid" | head -n 1)
        [ -n "$disk" ] || continue
        group_of "$pid" blkio 2> /dev/null || continue
        # Where nothing has switched the controller on for this group, it can be: the top offers it.
        if [ "$version" = 2 ] && [ ! -e "$bearer/io.max" ]; then
            grep -qw io "$(dirname "$bearer")/cgroup.controllers" /sys/fs/cgroup/cgroup.controllers
            return
        fi
        set_disk_limit "$version" "$bearer" wiops "$disk" "$(disk_limit "$version" "$bearer" wiops "$disk")"
        return
    done
    return 1
}
