# PROGRAM UNIT: looks what a component's limit has done. It is in force where each group still has what was asked for
# and each process of the component is in such a group.
note=$(note_of "$1")
found=$(component "$1" "$2")
[ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/process /'
[ -e "$note" ] || exit 0
force=yes
[ -n "$found" ] || force=no
for pid in $(printf '%s\n' "$found" | cut -d ' ' -f 1); do
    for kind in cpu io; do
        grep -q "^$kind " "$note" || continue
        controller=cpu
        [ $kind = cpu ] || controller=blkio
        set -- "$1" "$2" $(control_group "$controller" "/proc/$pid/cgroup" /proc/self/mountinfo 2> /dev/null)
        # Version 1 does not hand disk limits down to the groups below.
        awk -v kind=$kind -v version="${3:-0}" -v own="${4:-none}" '
            $1 == kind && $2 == version && (own == $3 || (index(own, $3 "/") == 1 && !(kind == "io" && version == 1))) { inside = 1 }
            END { exit !inside }' "$note" || force=no
        set -- "$1" "$2"
    done
done
groups=
while read -r kind a b c d e f; do
    case $kind in
        cpu)
            echo "limit group $b"
            [ "$(quota "$a" "$b" 2> /dev/null)" = "$e $f" ] || force=no
            # Version 1 counts nanoseconds, version 2 microseconds.
            [ ! -r "$b/cpu.stat" ] || awk '
                $1 == "nr_periods" { periods = $2 }
                $1 == "nr_throttled" { throttled = $2 }
                $1 == "throttled_time" { time = $2 / 1000 }
                $1 == "throttled_usec" { time = $2 }
                END { printf "limit cpu %.0f %.0f %.0f\n", periods, throttled, time }' "$b/cpu.stat"
            ;;
        io)
            [ "$(disk_limit "$a" "$b" "$c" "$d" 2> /dev/null)" = "$f" ] || force=no
            case " $groups " in *" $b "*) continue ;; esac
            [ -n "$groups" ] || echo "limit group $b"
            groups="$groups $b"
            # Of all disks: what the others do is not limited, and not much.
            if [ "$a" = 1 ]; then
                [ ! -r "$b/blkio.throttle.io_serviced" ] || awk '
                    FNR == NR && $2 == "Read" { reads += $3 }
                    FNR == NR && $2 == "Write" { writes += $3 }
                    FNR != NR && $2 == "Read" { from += $3 }
                    FNR != NR && $2 == "Write" { to += $3 }
                    END { printf "limit io %.0f %.0f %.0f %.0f\n", reads, writes, from, to }' \
                    "$b/blkio.throttle.io_serviced" "$b/blkio.throttle.io_service_bytes"
            elif [ -r "$b/io.stat" ]; then
                awk '
                    { for (i = 2; i <= NF; i++) { split($i, pair, "="); sum[pair[1]] += pair[2] } }
                    END { printf "limit io %.0f %.0f %.0f %.0f\n", sum["rios"], sum["wios"], sum["rbytes"], sum["wbytes"] }' "$b/io.stat"
                # Some member waited for a disk; in microseconds.
                [ ! -r "$b/io.pressure" ] || sed -n 's/^some .*total=\([0-9]*\).*/limit io-wait \1/p' "$b/io.pressure"
            fi
            ;;
    esac
done < "$note"
echo "limit disks $(awk '$1 == "io" && !seen[$5]++ { disks++ } END { print disks + 0 }' "$note")"
echo "limit in-force $force"
