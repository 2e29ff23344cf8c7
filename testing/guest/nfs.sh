#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: an image that is mounted in place of another one; then for each image its name, options
# of treecmp, a directory of whose files attributes are compared, another one, a file in it, and the
# image. The server is in the same guest, behind the loopback interface.
. "${0%/*}/lib.sh"
other=$1
shift
drivers=$(printf '%s\n' erofs "$peer" | uniq)
client=/mnt/client
mkdir -p $client

start_server() {
	modprobe -a nfsd nfs && ip link set lo up || return
	mount -t tmpfs tmpfs /var/lib/nfs && mkdir /var/lib/nfs/rpc_pipefs /var/lib/nfs/nfsdcld /run/rpcbind || return
	mount -t rpc_pipefs sunrpc /var/lib/nfs/rpc_pipefs && mount -t nfsd nfsd /proc/fs/nfsd || return
	: >/var/lib/nfs/etab && : >/var/lib/nfs/rmtab
	# It knows of no client, so there is no grace period.
	nfsdcld -p /var/lib/nfs/rpc_pipefs -s /var/lib/nfs/nfsdcld && rpcbind && rpc.mountd && rpc.nfsd -V 3 -V 4 4
}

# serve TYPE DIR IMAGE: the mount at DIR, exported; each has a number of its own, as one image has one UUID.
serve() {
	case $2 in $a) id=${nth}1 ;; *) id=${nth}2 ;; esac
	mount_one "$1" "$2" "" "$3" && exportfs -o "ro,no_root_squash,no_subtree_check,insecure,security_label,fsid=$id" "127.0.0.1:$2"
}

# The server lets go of a mount: of its open files, which it closes a little later, then of itself. Where it does
# not, it is started anew; then its clients take some seconds to find it.
withdraw() {
	tries=0
	exportfs -u "127.0.0.1:$1" && exportfs -f || return
	until umount "$1" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 15 ] && sleep 0.2 && continue
		rpc.nfsd 0 && umount "$1" && rpc.nfsd -V 3 -V 4 4 || return
		break
	done
	losetup -D
}

# reach VERSION DIR FROM
reach() { mkdir -p "$3" && mount -t nfs -o "ro,vers=$1,proto=tcp,nosharecache,nolock,softerr,timeo=300" "127.0.0.1:$2" "$3"; }

walk() {
	version=$1 how=$2 attributes=$3 image=$4
	serve erofs $a "$image" && serve "$peer" $b "$image" || return
	reach "$version" $a $client/a && reach "$version" $b $client/b || return
	# The second time the server has forgotten all names. Not while there are readers: an NFS client that evicts
	# inodes while it opens files may wait for itself.
	"$treecmp" $how $client/a $client/b && echo 3 >/proc/sys/vm/drop_caches || return
	"$treecmp" --level quick --sample 20 --readers 2 $client/a $client/b
	status=$?
	for driver in a b; do
		(cd "$client/$driver/$attributes" && getfattr -h -d -m - . * && getfacl -n -P -s . *) >/run/$driver 2>&1
	done
	echo "attributes $(wc -l </run/a)"
	cmp /run/a /run/b || status=1
	umount $client/a $client/b && withdraw $a && withdraw $b || return
	return $status
}

# look WHEN FD FILE: at a directory and a file that are known by their handles.
look() {
	echo "$1"
	echo 3 >/proc/sys/vm/drop_caches
	ls -f . 2>&1 | md5sum
	md5sum <&"$2"
	md5sum "$3"
	stat -c '%n %i %s %h %a' . "$3"
}

# What handles are worth once the server has forgotten all names, has mounted the image again, has
# mounted another one, or none.
handles() {
	driver=$1 dir=$2 file=$3 image=$4
	serve "$driver" $a "$image" && reach 3 $a $client/a && cd "$client/a/$dir" || return
	exec 4<"$file" 5<"$file" 6<"$file" 7<"$file" 8<"$file"
	look first 4 "$file"
	look dropped 5 "$file"
	withdraw $a && serve "$driver" $a "$image" || return
	look again 6 "$file"
	withdraw $a && serve "$driver" $a "$other" || return
	look other 7 "$file"
	withdraw $a && serve "$driver" $a "$image" || return
	look back 8 "$file"
	exec 4<&- 5<&- 6<&- 7<&- 8<&-
	cd / && umount $client/a && withdraw $a
}

# ask NAME COMMAND...: a section, after which nothing is mounted.
ask() {
	section "$@"
	umount -f -l $client/a $client/b
	exportfs -ua
	umount $a $b
	losetup -D
} 2>/dev/null

start_server >/run/server 2>&1 || { cat /run/server; exit 1; }
nth=0
while [ $# -gt 0 ]; do
	nth=$((nth + 1))
	for version in 3 4.2; do
		ask "$1/walk-$version" walk $version "$2" "$3" "$6"
	done
	for driver in $drivers; do
		ask "$1/handles-$driver" handles "$driver" "$4" "$5" "$6"
	done
	shift 6
done
rpc.nfsd 0
