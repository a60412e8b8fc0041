# ID: calls a deadline off. Its file goes first: whatever fires after that finds nothing to do.
file=/run/recoup/$1
if [ -e "$file" ]; then
    rm -f "$file" || exit 1
    echo changed
fi
# One that is being carried out is let finish: half of an undo is worse than a second one.
tries=0
while [ $tries -lt 100 ] && systemctl is-active --quiet "recoup-$1.service" 2> /dev/null; do
    tries=$((tries + 1))
    sleep 0.1
done
systemctl stop "recoup-$1.timer" 2> /dev/null
systemctl reset-failed "recoup-$1.timer" "recoup-$1.service" 2> /dev/null
rmdir /run/recoup 2> /dev/null
exit 0
