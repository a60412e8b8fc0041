# Looks how full the node's etcd member is.
tell_space
