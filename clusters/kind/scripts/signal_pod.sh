# PROGRAM SIGNAL POD: signals the program's process in that pod, which its environment names.
for pid in $(candidates "$1"); do
    runs "$pid" "$1" && stat_of "$pid" || continue
    tr '\0' '\n' < "/proc/$pid/environ" 2>/dev/null | grep -qFx "POD_NAME=$3" && echo "$pid $started $state"
done | hit "$2"
