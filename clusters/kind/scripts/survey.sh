# NAMESPACE
# Everything of this node that a fault may leave behind, a line each, sorted. Nothing that changes by itself:
# no numbers of processes, no counters, no times but the node's own start.
chains='^(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)$'
{
    for tool in iptables ip6tables; do
        "$tool-save" 2> /dev/null | awk -v tool="$tool" -v chains="$chains" '
            /^\*/ { table = substr($1, 2); next }
            /^:/ {
                chain = substr($1, 2)
                if (chain ~ chains && $2 != "ACCEPT") print "packet filter: " tool " " table ": policy of " chain " is " $2
                next
            }
            !/^-A / { next }
            / --comment "?recoup:/ { print "packet filter: " tool " " table ": " $0; next }
            $2 ~ chains && / -j (DROP|REJECT|NFQUEUE)( |$)/ && !/ --comment "?kubernetes/ {
                print "packet filter: " tool " " table ": " $0
            }'
    done
    nft list tables 2> /dev/null | grep recoup | sed 's/^/packet filter: nft /'

    for device in eth0 lo; do
        if found=$(tc qdisc show dev "$device" 2> /dev/null); then
            printf '%s\n' "$found" | sed "s/ refcnt [0-9]*//; s/ *$//; s/^/queue of $device: /"
        elif found=$(ip -o link show dev "$device" 2> /dev/null); then
            printf '%s\n' "$found" | sed "s/.* \(qdisc [^ ]*\).*/queue of $device: \1/"
        else
            echo "queue of $device: not looked at, there is neither tc nor ip"
        fi
    done
    found=$(ip -o addr show dev eth0 scope global 2> /dev/null | awk '{ print "address " $4 }')
    echo "${found:-address not looked at, there is no ip}"
    stat_of 1 && echo "started at tick $started of its machine"

    for dir in /proc/[0-9]*; do
        stat_of "${dir#/proc/}" || continue
        case $state in
            T | t) { read -r comm < "$dir/comm"; } 2> /dev/null && echo "stopped process: $comm" ;;
        esac
    done
    for pid in $(candidates recoup-delay); do
        runs "$pid" recoup-delay && echo "process of ours: recoup-delay"
    done
    left_frozen | sed 's/^/frozen cgroup: /'

    # By component, for groups of pods come and go.
    for program in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet containerd; do
        case $program in
            kubelet | containerd) unit=$program.service ;;
            *) unit= ;;
        esac
        component "$program" "$unit" | while read -r pid rest; do
            if group_of "$pid" cpu 2> /dev/null; then
                found=$(quota "$version" "$bearer" 2> /dev/null)
                case $found in
                    '' | '-1 '* | 'max '*) ;;
                    *) echo "processor quota of $program: $found" ;;
                esac
            fi
            if group_of "$pid" blkio 2> /dev/null; then
                if [ "$version" = 1 ]; then
                    find "$bearer" -name 'blkio.throttle.*_device' -exec grep . {} + 2> /dev/null | sed 's|.*/||'
                else
                    cat "$bearer/io.max" 2> /dev/null
                fi | sort -u | sed "s/^/disk limit of $program: /"
            fi
        done
    done

    for file in /etc/kubernetes/manifests/* /etc/kubernetes/manifests/.[!.]*; do
        [ -e "$file" ] || continue
        sum=$(sha256sum < "$file" | cut -c 1-16)
        echo "manifest ${file##*/}: sha256 $sum"
    done
    for unit in kubelet.service containerd.service; do
        echo "state of $unit: $(systemctl show --property ActiveState --value "$unit" 2> /dev/null || echo unknown)"
        for file in "/run/systemd/"*"/$unit.d/"* "/etc/systemd/"*"/$unit.d/"*; do
            [ -e "$file" ] || continue
            sum=$(sha256sum < "$file" | cut -c 1-16)
            echo "drop-in $file: sha256 $sum"
        done
    done
    for path in /etc/kubernetes/recoup* /run/recoup* /var/lib/recoup*; do
        [ ! -e "$path" ] || find "$path" | sed 's/^/file of ours: /'
    done
    load_of "$1" | sed 's/^/namespace of ours: /'
    systemctl list-units --all --plain --no-legend 'recoup-*' 2> /dev/null | awk '{ print "unit of ours: " $1 }'
} | LC_ALL=C sort | sed 's/^/survey /'
