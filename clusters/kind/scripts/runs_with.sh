# PROGRAM [FLAG VALUE]…: prints the processes of a component that run with all of these flags.
program=$1
shift
component "$program" "" | while read -r pid rest; do
    given=$(tr '\0' '\n' < "/proc/$pid/cmdline" 2> /dev/null) || continue
    (
        while [ $# -ge 2 ]; do
            printf '%s\n' "$given" | grep -qFx -e "--$1=$2" || exit 1
            shift 2
        done
    ) && echo "process $pid $rest"
done
exit 0
