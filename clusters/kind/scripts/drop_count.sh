# COMMENT: sums the packets of every rule that bears the comment.
for tool in $(tools); do rules "$tool" "$1"; done |
    sed 's/^\[\([0-9]*\):.*/\1/' | awk '{ sum += $1 } END { printf "packets %.0f\n", sum }'
