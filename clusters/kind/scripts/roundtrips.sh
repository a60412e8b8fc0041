# TIMES ADDRESS:PORT…, and a program on stdin: times TCP handshakes.
# Not below /run, where a node lets nothing be executed.
home=$(mktemp -d /var/lib/recoup.XXXXXX) || exit 1
trap 'rm -rf "$home"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$home/recoup-delay" && chmod 0700 "$home/recoup-delay" || exit 1
"$home/recoup-delay" roundtrips --times "$@"
