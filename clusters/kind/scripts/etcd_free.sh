# Deletes what was filled in, forgets its history, gives the space back on every member, and only then disarms the
# alarm: as long as it is raised, something is left to do.
before=$(cat "$filling" 2> /dev/null)
[ ! -e "$filling" ] || echo freeing > "$filling" || exit 1
tries=0
# A write that is under way would come after the deletion.
while [ -n "${before#freeing}" ] && [ $tries -lt 150 ] && stat_of "${before% *}" && [ "$started" = "${before#* }" ]; do
    tries=$((tries + 1))
    sleep 0.1
done
range="\"key\":\"$(coded $prefix)\",\"range_end\":\"$(coded $behind)\""
found=$(ask kv/range "{$range,\"count_only\":true}") || exit 1
found=$(printf '%s\n' "$found" | whole_number count)
raised=$(alarms) || exit 1
full=$(printf '%s\n' "$raised" | grep ' NOSPACE$')
# Whoever began to free and did not end may have deleted everything, and given back nothing.
if [ "${found:-0}" != 0 ] || [ -n "$full" ] || [ "$before" = freeing ]; then
    answer=$(ask kv/deleterange "{$range}") || exit 1
    revision=$(printf '%s\n' "$answer" | whole_number revision)
    # An attempt that failed later may have compacted up to here already.
    answer=$(ask kv/compaction "{\"revision\":\"$revision\",\"physical\":true}" 2>&1) || case $answer in
        *compacted*) ;;
        *) printf '%s\n' "$answer" >&2; exit 1 ;;
    esac
    members=$(ask cluster/member/list '{}') || exit 1
    for url in $(printf '%s\n' "$members" | grep -o '"clientURLs":\["[^"]*"' | sed 's/.*\["//; s/"$//'); do
        ask maintenance/defragment '{}' "$url" > /dev/null || exit 1
    done
    printf '%s\n' "$full" | while read -r member alarm; do
        [ -z "$member" ] || ask maintenance/alarm "{\"action\":\"DEACTIVATE\",\"memberID\":\"$member\",\"alarm\":\"$alarm\"}" || exit 1
    done > /dev/null || exit 1
    echo changed
fi
rm -f "$filling"
rmdir "${filling%/*}" 2> /dev/null
tell_space
