#!/bin/sh
# Fills the volumes below /secrets: the authority's with its key, and one of each node with what that node proves itself by.
#
#   secrets.sh MESH NODE... CLIENT:client...
#
# The volume of a node has its certificate, and that of a client named `probe`, which asks whether the node is ready. The volume
# of a client has its own alone. Keys stay what they are: whoever has one gets a newer certificate for it.
set -eu
owner=10001:10001
mesh=$1
shift

authority=/secrets/authority
[ -e "$authority/authority.key.pem" ] || qmesh ca init --mesh "$mesh" --dir "$authority"

issue() {
    name=$1 folder=$2
    shift 2
    if [ -e "$folder/$name.key.pem" ]; then
        qmesh ca issue "$name" --renew --out "$folder" --dir "$authority"
    else
        qmesh ca issue "$name" "$@" --out "$folder" --dir "$authority"
    fi
}

for place in "$@"; do
    folder=/secrets/${place%%:*}
    case $place in
    *:client) issue "${place%%:*}" "$folder" --client ;;
    *)
        issue "$place" "$folder"
        issue probe "$folder" --client
        ;;
    esac
    chown -R "$owner" "$folder"
    chmod 0700 "$folder"
done
