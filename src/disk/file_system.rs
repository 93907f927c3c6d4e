//! Whether a file system can keep what is promised of the state: the lock, and that what was synced is there. Pure.
//!
//! A file system that several machines mount at once breaks both. A lock that one of them holds may be unknown to the
//! next (flock(2) and nfs(5) say how much depends on versions and mount options), so that two runs may work on one
//! item; and what fdatasync has acknowledged may be in the memory of a server that goes down.
//!
//! What is refused, and what is not:
//!
//! - File systems that are made to be shared are refused by their magic number (statfs(2), `<linux/magic.h>`).
//! - FUSE is asked further, because it may be anything: those of its types that reach over a network are refused, all
//!   others are as good as the disk below them. `virtiofs` is one of these.
//! - 9p, virtiofs, and the shared folders of virtual machines connect a guest with its own host, and some
//!   containers (gVisor, Kata) have nothing else. All runs in the guest see one lock there, and a sync is handed on to
//!   the host, so they are not refused. What stays open is a run on the host at the same time, which the README names.
//! - A number that nobody knows is a local file system: new ones are local more often than not, and a person whose
//!   disk is refused without cause learns to pass the flag always.

/// File systems that machines share, by their magic number.
const SHARED: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x4750_4653, "GPFS"),
    (0xaad7_aaea, "PanFS"),
];

/// `FUSE_SUPER_MAGIC`.
const FUSE: u64 = 0x6573_5546;

/// Types of FUSE that reach over a network, without the `fuse.` before them.
const SHARED_BY_FUSE: &[&str] = &[
    "sshfs",
    "s3fs",
    "rclone",
    "goofys",
    "mount-s3",
    "mountpoint-s3",
    "gcsfuse",
    "blobfuse",
    "blobfuse2",
    "davfs",
    "davfs2",
    "curlftpfs",
    "glusterfs",
    "ceph",
    "ceph-fuse",
    "juicefs",
    "seaweedfs",
    "moosefs",
    "mfs",
    "lizardfs",
    "cvmfs2",
    "afp",
    "gvfsd-fuse",
    "nfs-ganesha",
    "smbnetfs",
    "hdfs",
];

/// The name of a file system that machines share; nothing for one that is as good as local.
///
/// `magic` is `f_type` of statfs(2). `mount_type` is asked only for a FUSE, and is how `/proc/self/mountinfo` calls it.
#[must_use]
pub fn shared(magic: u64, mount_type: impl FnOnce() -> Option<String>) -> Option<String> {
    // It is signed on some machines, and then a number of 32 bits comes with its sign.
    let magic = magic & 0xffff_ffff;
    if let Some((_, name)) = SHARED.iter().find(|(known, _)| *known == magic) {
        return Some((*name).to_owned());
    }
    if magic != FUSE {
        return None;
    }
    let mount_type = mount_type()?;
    let kind = mount_type
        .strip_prefix("fuse.")
        .unwrap_or(mount_type.as_str());
    let kind = SHARED_BY_FUSE.iter().find(|known| **known == kind);
    kind.map(|kind| (*kind).to_owned())
}

/// The type of the file system with this device, as `proc_pid_mountinfo(5)` has it: after the lone dash.
#[must_use]
pub fn mount_type(mountinfo: &str, (major, minor): (u64, u64)) -> Option<String> {
    let device = format!("{major}:{minor}");
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let is_it = place.split(' ').nth(2) == Some(&device);
        let kind = kind.split(' ').next().filter(|_| is_it)?;
        Some(kind.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_machines_share_is_known_by_its_number() {
        for (magic, name) in [
            (0x6969, Some("NFS")),
            (0xff53_4d42, Some("CIFS")),
            (0xffff_ffff_ff53_4d42, Some("CIFS")),
            (0xfe53_4d42, Some("SMB")),
            (0x00c3_6400, Some("Ceph")),
            // ext4, XFS, Btrfs, ZFS, tmpfs, overlayfs
            (0xef53, None),
            (0x5846_5342, None),
            (0x9123_683e, None),
            (0x2fc1_2fc1, None),
            (0x0102_1994, None),
            (0x794c_7630, None),
            // 9p and the shared folders of VirtualBox: a guest and its host
            (0x0102_1997, None),
            (0x786f_4256, None),
            (0, None),
        ] {
            let found = shared(magic, || unreachable!("only a FUSE is asked"));
            assert_eq!(found.as_deref(), name, "{magic:#x}");
        }
    }

    #[test]
    fn a_fuse_is_known_by_its_type() {
        for (mount_type, name) in [
            (Some("fuse.sshfs"), Some("sshfs")),
            (Some("fuse.rclone"), Some("rclone")),
            (Some("virtiofs"), None),
            (Some("fuseblk"), None),
            (Some("fuse.gocryptfs"), None),
            (Some("fuse"), None),
            (None, None),
        ] {
            let found = shared(FUSE, || mount_type.map(str::to_owned));
            assert_eq!(found.as_deref(), name, "{mount_type:?}");
        }
    }

    #[test]
    fn the_type_stands_after_the_dash() {
        let mountinfo = "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                         31 25 0:27 / /mnt/a\\040b rw master:2 shared:9 - fuse.sshfs me@host:/ rw\n\
                         rubbish\n";
        let found = |device| mount_type(mountinfo, device);
        assert_eq!(found((0, 27)).as_deref(), Some("fuse.sshfs"));
        assert_eq!(found((254, 0)).as_deref(), Some("ext4"));
        assert_eq!(found((0, 2)), None);
    }
}
