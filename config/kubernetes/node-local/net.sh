#!/bin/bash
# The node's network for byway, in the image byway-net: bash, iproute2 and nftables.
#
#   net.sh interface   makes the dummy interface and ends
#   net.sh lead        leads questions to byway while it answers
#   net.sh remove      takes all away, by hand
#
# kube-proxy sends what goes to KUBE_DNS on to a pod of kube-dns, whether or not the node has that address itself. It does so
# by connection tracking. What is not tracked stays on the node, and meets byway. So one table of rules is the whole switch: with
# it pods ask byway, without it kube-dns. (iptables and nftables modes of kube-proxy; see docs/recipes.md for IPVS and Cilium.)
set -eu

: "${LOCAL:?a link-local address}" "${KUBE_DNS:?the address of the service kube-dns}"
INTERFACE=byway0
# Those that an image for a process without root needs; see the Dockerfile.
OWNER=65532:65532

interface() {
    ip link show "$INTERFACE" >/dev/null 2>&1 || ip link add "$INTERFACE" type dummy
    ip link set "$INTERFACE" up
    for address in "$LOCAL" "$KUBE_DNS"; do
        ip address replace "$address/32" dev "$INTERFACE"
    done
    if [ -d /var/lib/byway ]; then
        chown "$OWNER" /var/lib/byway
    fi
}

lead() {
    # Whole or not at all, and again without harm.
    nft -f - <<END
table ip byway
delete table ip byway
table ip byway {
    set own { type ipv4_addr; elements = { $LOCAL, $KUBE_DNS } }
    chain from_pods {
        type filter hook prerouting priority raw; policy accept;
        ip daddr @own udp dport 53 notrack
        ip daddr @own tcp dport 53 notrack
    }
    chain from_node {
        type filter hook output priority raw; policy accept;
        ip daddr @own udp dport 53 notrack
        ip daddr @own tcp dport 53 notrack
        ip saddr @own udp sport 53 notrack
        ip saddr @own tcp sport 53 notrack
    }
}
END
}

leave() {
    nft delete table ip byway 2>/dev/null || true
}

# Whether every worker of byway is alive. Once it is gone nobody listens there, so that this is known at once.
answers() {
    local status=
    {
        exec 3<>/dev/tcp/127.0.0.1/19153 &&
            printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3 &&
            read -r -t 2 status <&3
    } 2>/dev/null || true
    { exec 3>&-; } 2>/dev/null || true
    [[ $status == *" 200 "* ]]
}

watch() {
    trap 'leave; exit 0' TERM INT
    trap leave EXIT
    leads=no
    while :; do
        if answers; then
            [ "$leads" = yes ] || { lead && leads=yes && echo "questions go to byway"; }
        elif [ "$leads" = yes ]; then
            leave
            leads=no
            echo "byway does not answer: questions go to kube-dns"
        fi
        # In the background, so that a signal is heard at once.
        sleep 1 &
        wait $!
    done
}

case "${1:-}" in
interface) interface ;;
lead) watch ;;
remove)
    leave
    ip link delete "$INTERFACE" 2>/dev/null || true
    ;;
*)
    echo "usage: net.sh interface | lead | remove" >&2
    exit 2
    ;;
esac
