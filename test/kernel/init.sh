#!/bin/busybox sh
# The guest's first and only program: loads modules, mounts this machine's file system read-only,
# and then runs one shell script after another for each of its two command ports.
#
# A request is one line `<id> <script in base64>`; the answer is one line
# `<id> <exit code> <output in base64>`.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/boot.order); do
  insmod "/modules/$module" || echo "init: cannot load $module"
done
ip link set lo up
# Each network card is in a network of its own, with this machine at 10.0.2.2, 10.0.3.2 and so on.
network=2
for card in /sys/class/net/eth*; do
  ip addr add "10.0.$network.15/24" dev "${card##*/}"
  ip link set "${card##*/}" up
  network=$((network + 1))
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose hostroot /host ||
  echo 'init: cannot mount the host file system'
for place in proc sys dev; do mount --bind "/$place" "/host/$place"; done
for place in tmp run mnt; do mount -t tmpfs tmpfs "/host/$place"; done
mkdir -p /dev/shm /host/run/modules
mount --bind /modules /host/run/modules

serve() {
  port=$1
  exec 3<>"$port"
  printf 'ready 0 \n' >&3
  while read -r id script <&3; do
    echo "$script" | base64 -d >"/host/run/$id.sh"
    chroot /host /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C \
      /bin/sh "/run/$id.sh" >"/host/run/$id.out" 2>&1 </dev/null
    code=$?
    printf '%s %s %s\n' "$id" "$code" "$(base64 -w 0 "/host/run/$id.out")" >&3
    rm -f "/host/run/$id.sh" "/host/run/$id.out"
  done
}
serve /dev/vport*p1 &
serve /dev/vport*p2 &
wait
poweroff -f
