# Prints the files and settings of this node that recovery times follow from, each under a line of its own.
# What is not there is left out: the reader says so.
dir=/etc/kubernetes/manifests
for pod in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    if [ -r "$dir/$pod.yaml" ]; then
        echo "=== recoup: manifest $pod"
        cat "$dir/$pod.yaml"
        echo
    fi
done
file=$(sed -n 's/^ *- --config=//p' "$dir/kube-scheduler.yaml" 2>/dev/null | head -n 1)
if [ -n "$file" ] && [ -r "$file" ]; then
    echo "=== recoup: scheduler config"
    cat "$file"
    echo
fi
if [ -r /var/lib/kubelet/config.yaml ]; then
    echo "=== recoup: kubelet config"
    cat /var/lib/kubelet/config.yaml
    echo
fi
pid=$(systemctl show kubelet -p MainPID --value 2>/dev/null)
if [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/cmdline" ]; then
    echo "=== recoup: kubelet flags"
    tr '\0' '\n' <"/proc/$pid/cmdline"
    echo
fi
for unit in kubelet containerd; do
    echo "=== recoup: unit $unit"
    systemctl show "$unit" -p Restart -p RestartUSec 2>/dev/null
done
:
