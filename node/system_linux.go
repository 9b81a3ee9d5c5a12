package node

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// systemTypes are the types of file systems that hold no files, but show what the system has.
var systemTypes = map[string]bool{
	"proc": true, "sysfs": true, "devtmpfs": true, "devpts": true, "mqueue": true, "cgroup": true, "cgroup2": true, "securityfs": true,
	"debugfs": true, "tracefs": true, "configfs": true, "pstore": true, "efivarfs": true, "bpf": true, "fusectl": true, "binfmt_misc": true,
	"selinuxfs": true, "rpc_pipefs": true, "nsfs": true,
}

// systemMounts gives the types of the file systems of the system that are mounted, by device. /dev is one whatever its type: in containers
// it is a tmpfs.
func systemMounts() map[uint64]string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	mounts := map[uint64]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		mount, source, ok := strings.Cut(lines.Text(), " - ")
		at, of := strings.Fields(mount), strings.Fields(source)
		if !ok || len(at) < 5 || len(of) == 0 || !systemTypes[of[0]] && at[4] != "/dev" {
			continue
		}
		major, minor, _ := strings.Cut(at[2], ":")
		ma, err1 := strconv.ParseUint(major, 10, 32)
		mi, err2 := strconv.ParseUint(minor, 10, 32)
		if err1 == nil && err2 == nil {
			mounts[unix.Mkdev(uint32(ma), uint32(mi))] = of[0]
		}
	}
	return mounts
}
