#!/usr/bin/env bash
# Passes the tests of the jail on another kernel: Debian's own, in a virtual machine without acceleration.
#
# The machine sees this one's files read-only, with memory over /tmp, /var/tmp, /run, /root and /home. It has all
# controllers of cgroup v2, of which an ordinary user gets a part, as systemd does it. Takes some minutes.
#
#   scripts/test-vm.sh [FILTER]     only tests whose name contains FILTER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

filter=${1:-}
limit=${ASEPTIC_VM_SECONDS:-900} # A machine that hangs ends.
place=$PWD/target/vm
user=4242

scripts/setup.sh vm
mkdir -p "$place/share" "$place/image/bin" "$place/image/mod" "$place"/image/{proc,sys,dev,host}

if ! compgen -G "$place/kernel/boot/vmlinuz-*" >/dev/null; then
  echo "vm: fetching Debian's kernel"
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  (cd "$place" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb kernel && rm -- "$package"_*.deb)
fi
kernel=$(ls -d "$place"/kernel/boot/vmlinuz-*)
modules=$(ls -d "$place"/kernel/lib/modules/*)
# In the order in which they need each other.
names=()
for module in drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_legacy_dev \
  drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci net/9p/9pnet net/9p/9pnet_virtio \
  fs/netfs/netfs fs/fscache/fscache fs/9p/9p fs/overlayfs/overlay; do
  [[ -e $modules/kernel/$module.ko ]] || continue # Built in, or not in this version.
  cp "$modules/kernel/$module.ko" "$place/image/mod/"
  names+=("$(basename "$module")")
done

cp /bin/busybox "$place/image/bin/"
cat >"$place/image/init" <<END
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc none /proc
\$b mount -t devtmpfs none /dev
for module in ${names[*]}; do \$b insmod /mod/\$module.ko || echo "vm: no \$module"; done
options=trans=virtio,version=9p2000.L,msize=262144
\$b mount -t 9p -o \$options,ro,cache=loose host /host
\$b mount -t proc none /host/proc
\$b mount -t sysfs none /host/sys
\$b mount -t devtmpfs none /host/dev
\$b mkdir -p /host/dev/pts /host/dev/shm
\$b mount -t devpts none /host/dev/pts
\$b mount -t cgroup2 none /host/sys/fs/cgroup
for place in /dev/shm /tmp /var/tmp /run /root /home; do \$b mount -t tmpfs -o mode=1777 none /host\$place; done
\$b mkdir -p /host/run/share /host/run/bin
\$b mount -t 9p -o \$options share /host/run/share
\$b cp /bin/busybox /host/run/bin/
\$b ip link set lo up
\$b umount /proc /dev
exec \$b switch_root /host /bin/bash -c '/bin/bash /run/share/run.sh; /run/bin/busybox poweroff -f'
END
chmod +x "$place/image/init"
(cd "$place/image" && find . | cpio --quiet -o -H newc | gzip -1 >"$place/image.gz")

echo "vm: building the tests"
cargo test --locked -q -p aseptic-sandbox --test it --no-run
binary=$(cargo test --locked -p aseptic-sandbox --test it --no-run --message-format json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
cp "$binary" "$place/share/tests"
cat >"$place/share/run.sh" <<END
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin TMPDIR=/tmp HOME=/root
uname -r
cp /run/share/tests /run/tests
cd /tmp
groups=/sys/fs/cgroup
mkdir \$groups/root \$groups/user \$groups/user/shell
echo 0 >\$groups/root/cgroup.procs
echo "+cpu +memory +pids +io" >\$groups/cgroup.subtree_control
pass() {
  echo "vm: as \$1"
  shift
  "\$@" /run/tests --test-threads 2 "$filter" 2>&1 | sed 's/^/vm| /'
  echo "vm: \${PIPESTATUS[0]}"
}
pass root env ASEPTIC_TEST_LIMITS_HARD=1
# What systemd gives to the session of a user.
chown $user \$groups/user \$groups/user/{cgroup.procs,cgroup.subtree_control,shell,shell/cgroup.procs}
echo 0 >\$groups/user/shell/cgroup.procs
pass user setpriv --reuid $user --regid $user --clear-groups env HOME=/tmp ASEPTIC_TEST_LIMITS_HARD=1
# What \`systemd-run --user --scope -p Delegate=yes\` gives: a group of which this is the only process.
mkdir \$groups/scope
chown $user \$groups/scope \$groups/scope/{cgroup.procs,cgroup.subtree_control}
echo "vm: in a scope"
sh -c "echo 0 >\$groups/scope/cgroup.procs; exec setpriv --reuid $user --regid $user --clear-groups env HOME=/tmp \
  ASEPTIC_TEST_LIMITS_HARD=1 /run/tests --test-threads 1 limits" >/tmp/scope 2>&1
result=\$?
sed 's/^/vm| /' /tmp/scope
find \$groups/scope -mindepth 1 -type d | sed 's/^/vm: left: /'
echo "vm: \$result"
END

echo "vm: starting $(basename "$kernel")"
share() { echo "local,path=$1,mount_tag=$2,security_model=none,multidevs=remap$3"; }
timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nographic -no-reboot \
  -kernel "$kernel" -initrd "$place/image.gz" -append "console=ttyS0 quiet panic=-1 lsm=landlock,apparmor" \
  -virtfs "$(share / host ,readonly=on)" -virtfs "$(share "$place/share" share "")" </dev/null 2>&1 |
  tee "$place/log" | grep -a --line-buffered "^vm" || true
[[ $(grep -ac "^vm: 0" "$place/log") == 3 ]] || {
  echo "vm: not every test passed; all of it is in $place/log" >&2
  exit 1
}
