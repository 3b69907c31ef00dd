#!/bin/sh
# A machine of systemd's own in a box: this one's files, seen through a layer that is thrown away,
# with namespaces for everything else. Nothing in it reaches the machine outside.
#
# Usage: machine.sh FOLDER CHECKOUT NODE   (in a mount namespace of its own)
set -eu
if [ "${1:-}" != inside ]; then
  folder=$1
  mount --make-rprivate /
  # Of all hierarchies systemd needs the unified one; its root in there is a group of ours.
  mount -t cgroup2 cgroup2 "$folder/groups"
  mkdir "$folder/groups/${folder##*/}"
  echo $$ >"$folder/groups/${folder##*/}/cgroup.procs"
  exec unshare --pid --net --uts --ipc --cgroup --fork --kill-child /bin/sh "$0" inside "$@"
fi
folder=$2 checkout=$3 node=$4
root=$folder/layers/root
mount -t tmpfs -o mode=755 tmpfs "$folder/layers"
mkdir "$folder/layers/changes" "$folder/layers/work" "$root"
mount -t overlay overlay \
  -o "lowerdir=/,upperdir=$folder/layers/changes,workdir=$folder/layers/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for place in run tmp; do mount -t tmpfs tmpfs "$root/$place"; done
# Where ProtectHome= does not hide them.
mkdir -p "$root/opt/checkout"
mount --bind "$checkout" "$root/opt/checkout"
cp "$node" "$root/opt/node"
ip link set lo up
# Nothing that this machine starts at boot.
rm -rf "$root"/etc/systemd/system/*.wants
mkdir -p "$root/run/systemd/system"
cat >"$root/run/systemd/system/box.target" <<'END'
[Unit]
Requires=basic.target
After=basic.target
END
# The root of its namespace, not of a process: services have namespaces of their own below it.
mkdir "$root/outside"
cd "$root"
pivot_root . outside
umount -l /outside
rmdir /outside
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=box.target --log-target=journal --show-status=false
