# ID SECONDS TEXT: this node runs a shell text after that many seconds, whoever is left by then. One of the
# same name is replaced. The text waits in a file: systemd would expand every $ of a command line.
file=/run/recoup/$1
token=$(cat /proc/sys/kernel/random/uuid) || exit 1
mkdir -p "${file%/*}" && printf '# %s\n%s\n' "$token" "$3" > "$file.new" && mv -f "$file.new" "$file" || exit 1
systemctl stop "recoup-$1.timer" 2> /dev/null
if systemd-run --quiet --collect --unit "recoup-$1" --on-active "${2}s" --timer-property AccuracySec=100ms \
    sh "$file" > /dev/null 2>&1; then
    echo "how systemd timer"
else
    # Calling it off takes the file away, so that nobody has to be found by number or name and killed.
    setsid sh -c '
        trap "" HUP INT
        due=$(($(date +%s) + $2))
        while [ "$(date +%s)" -lt "$due" ]; do
            sleep 1
            { read -r first < "$1"; } 2> /dev/null && [ "$first" = "# $3" ] || exit 0
        done
        exec sh "$1"' recoup "$file" "$2" "$token" < /dev/null > /dev/null 2>&1 &
    echo "how detached shell"
fi
echo changed
