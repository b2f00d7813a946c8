#!/bin/sh
# Makes a Debian root (given as $1) one that boots in a container, as a droplet of DigitalOcean's does: systemd, cloud-init
# and Docker are stock, and only what would touch the host's kernel or look for real hardware is masked or replaced.
set -eu
cat >"$1/machine-init" <<'INIT'
#!/bin/sh
# The container is not privileged, so what systemd and a nested dockerd write is made writable here.
mount -o remount,bind,rw /sys
for hierarchy in /sys/fs/cgroup/*/; do
    mountpoint -q "$hierarchy" && mount -o remount,bind,rw "$hierarchy"
done
ip route add 169.254.169.254 dev eth0 2>/dev/null
if [ -n "${MACHINE_ID:-}" ]; then
    printf '%s\n' "$MACHINE_ID" >/etc/machine-serial
else
    # Nobody answers where cloud-init would ask for what the machine is to be.
    touch /etc/cloud/cloud-init.disabled
fi
# systemd from 256 on refuses a host with the older control groups unless it is told so.
exec env -u MACHINE_ID /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
INIT
# cloud-init's data source asks for the maker of the hardware, and refuses to look in what it takes for a container.
cat >"$1/usr/sbin/dmidecode" <<'DMI'
#!/bin/sh
case "$*" in
*manufacturer*) echo DigitalOcean ;;
*serial*) cat /etc/machine-serial ;;
*) echo Droplet ;;
esac
DMI
mkdir -p "$1/usr/local/bin"
printf '#!/bin/sh\necho none\nexit 1\n' >"$1/usr/local/bin/systemd-detect-virt"
chmod 755 "$1/machine-init" "$1/usr/sbin/dmidecode" "$1/usr/local/bin/systemd-detect-virt"
cat >"$1/etc/cloud/cloud.cfg.d/90-machine.cfg" <<'CLOUD'
datasource_list: [DigitalOcean]
# An interface of a container is no candidate for the link-local step.
datasource: {DigitalOcean: {use_ip4LL: false}}
network: {config: disabled}
locale: C.UTF-8
CLOUD
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-modules-load.service systemd-sysctl.service systemd-logind.service getty@.service console-getty.service \
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-remount-fs.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
# Debian's package of npm brings hundreds of others along.
npm install --silent --global --ignore-scripts --prefix "$1/usr/local" npm@10.9.4
# What the maker trusts, the machine trusts.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
    mkdir -p "$1/usr/local/etc"
    echo cafile=/etc/ssl/certs/ca-certificates.crt >"$1/usr/local/etc/npmrc"
fi
