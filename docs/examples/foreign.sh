#!/bin/sh
# Defines, starts, watches and destroys a domain with grpcurl (https://github.com/fullstorydev/grpcurl), which learns the
# API from the daemon itself by reflection: no file of davit is needed. evans and other stock tools work the same way.
#
#   foreign.sh [SOCKET]
set -eu

socket=${1:-/run/davit/davit.sock}
service=davit.v1

# call METHOD [JSON]: one question, or a stream of answers. The authority is a formality of HTTP/2 on a unix socket.
call() {
	grpcurl -plaintext -authority localhost -d "${2:-{\}}" "unix://$socket" "$service.$1"
}

# member NAME: the first value of a member in the JSON that comes in.
member() {
	sed -n "s/.*\"$1\": *\"\\([^\"]*\\)\".*/\\1/p" | head -n 1
}

echo "# services and a method, as the daemon describes them"
grpcurl -plaintext -authority localhost "unix://$socket" list
grpcurl -plaintext -authority localhost "unix://$socket" describe "$service.DomainService.StartDomain"

echo "# define, from libvirt's XML"
uuid=$(call DomainService/DefineDomain '{"source": {"xml": "<domain type=\"lxc\"><name>abroad</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>echo hello; sleep infinity</initarg></os><devices><console type=\"pty\"/></devices></domain>"}}' | member uuid)
ref="{\"domain\": {\"uuid\": \"$uuid\"}}"
echo "$uuid"

echo "# where the journal of events stands now"
position=$(call EventService/GetEventPosition)
epoch=$(echo "$position" | member epoch)
sequence=$(echo "$position" | member sequence)

echo "# start, look, destroy"
call DomainService/StartDomain "$ref"
call DomainService/GetDomain "$ref" | member state
call DomainService/DestroyDomain "$ref"

echo "# watch what happened since then; a watch never ends by itself"
grpcurl -plaintext -authority localhost -max-time 2 \
	-d "{\"after\": {\"epoch\": \"$epoch\", \"sequence\": \"$sequence\"}, \"uuids\": [\"$uuid\"]}" \
	"unix://$socket" "$service.EventService/WatchEvents" || test $? -eq 68 # the code of DEADLINE_EXCEEDED

echo "# an error names its reason"
call DomainService/DestroyDomain "$ref" || true

call DomainService/UndefineDomain "$ref"
