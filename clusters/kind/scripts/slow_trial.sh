# What netem needs, tried on the loopback device of a network of its own (`unshare -n`), which ends with the shell.
NETEM_TRIAL='
    tc qdisc add dev lo root handle 1: prio bands 4 || {
        tc qdisc add dev lo root handle 1: htb && tc class add dev lo parent 1: classid 1:4 htb rate 10gbit
    } || exit 1
    tc qdisc add dev lo parent 1:4 handle 2: netem limit 20000 delay 1000us 100us loss random 0.1000% &&
        tc filter add dev lo parent 1: protocol all prio 1 handle 0x100000/0x100000 fw classid 1:4'
# The same of the packet queues of the kernel: a rule that hands packets to one, and that queues can be bound.
NFQUEUE_TRIAL='
    { echo "*mangle"
      echo "-A PREROUTING -i lo -s 192.0.2.1 -p tcp --dport 1 -m comment --comment recoup:trial -j NFQUEUE --queue-num 29000 --queue-bypass"
      echo COMMIT; } | iptables-restore --noflush && [ -e /proc/net/netfilter/nfnetlink_queue ]'
