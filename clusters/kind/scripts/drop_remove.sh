# COMMENT: removes every rule that bears the comment.
for tool in $(tools); do
    lines=$(deletions "$tool" "$1")
    [ -n "$lines" ] || continue
    printf '%s\n' "$lines" | change "$tool" || exit 1
    echo changed
done
