package taskmanager

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// platform is an operating system and a processor, as in GOOS and GOARCH.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

var here = platform{runtime.GOOS, runtime.GOARCH}

// elfArch names the processors of ELF files that Go runs on.
var elfArch = map[elf.Machine]string{
	elf.EM_386: "386", elf.EM_X86_64: "amd64", elf.EM_ARM: "arm", elf.EM_AARCH64: "arm64",
	elf.EM_LOONGARCH: "loong64", elf.EM_RISCV: "riscv64", elf.EM_S390: "s390x", elf.EM_PPC64: "ppc64le",
}

// checkPlatform fails when the binary is known to be built for another system than this.
// What is unknown is tried.
func checkPlatform(path string) error {
	if p, known := platformOf(path); known && p != here {
		return fmt.Errorf("the job binary is built for %v, this TaskManager is %v; build it with GOOS=%s GOARCH=%s", p, here, here.os, here.arch)
	}
	return nil
}

// platformOf reads the platform from what the Go linker wrote, or else from the ELF header.
func platformOf(path string) (p platform, known bool) {
	if info, err := buildinfo.ReadFile(path); err == nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS":
				p.os = s.Value
			case "GOARCH":
				p.arch = s.Value
			}
		}
		if p.os != "" && p.arch != "" {
			return p, true
		}
	}
	f, err := elf.Open(path)
	if err != nil {
		return p, false
	}
	defer f.Close()
	p.arch, known = elfArch[f.Machine]
	p.os = here.os // the header of most systems does not tell
	return p, known
}

// explainStart says for a person why path could not be started.
func explainStart(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("the job binary is no program for %v (it begins with %q): %w", here, firstBytes(path), err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the job binary, or the dynamic loader that it names, is missing here: %w; build jobs with CGO_ENABLED=0", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the job binary may not be executed: %w; is the TaskManager's work directory mounted noexec?", err)
	}
	return err
}

func firstBytes(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 16)
	n, _ := f.Read(b)
	return strings.ToValidUTF8(string(b[:n]), "?")
}
