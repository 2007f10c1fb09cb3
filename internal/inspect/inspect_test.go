package inspect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", 40<<10) + "\n" // longer than what is looked at in one go
	for name, test := range map[string]struct {
		text   string
		q      Question
		want   string
		offset int64
	}{
		"from an offset":             {"one\ntwo\n", Question{Offset: 4}, "two\n", 4},
		"at the end":                 {"one\n", Question{Offset: 4}, "", 4},
		"behind the end":             {"one\n", Question{Offset: 5}, "one\n", 0},
		"the last lines":             {"one\ntwo\nthree\n", Question{Offset: -1, Lines: 2}, "two\nthree\n", 4},
		"the last has no end":        {"one\ntwo\nthr", Question{Offset: -1, Lines: 2}, "two\nthr", 4},
		"fewer lines than asked for": {"one\n", Question{Offset: -1, Lines: 9}, "one\n", 0},
		"empty lines":                {"one\n\n\n", Question{Offset: -1, Lines: 2}, "\n\n", 4},
		"no lines":                   {"one\n", Question{Offset: -1}, "", 4},
		"an empty file":              {"", Question{Offset: -1, Lines: 3}, "", 0},
		"long lines":                 {long + long + "end\n", Question{Offset: -1, Lines: 2}, long + "end\n", int64(len(long))},
		"a bounded piece":            {strings.Repeat(long, 5), Question{Offset: 1}, strings.Repeat(long, 5)[1 : MaxPiece+1], 1},
	} {
		p, err := Read(file(t, test.text), test.q)
		if err != nil || string(p.Data) != test.want || p.Offset != test.offset || p.Size != int64(len(test.text)) {
			t.Errorf("%s: %.40q at %d of %d (%v), want %.40q at %d", name, p.Data, p.Offset, p.Size, err, test.want, test.offset)
		}
	}
}

// TestTailIsBounded: lines that are too far from the end are not looked for.
func TestTailIsBounded(t *testing.T) {
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 2*maxTail/100)
	p, err := Read(file(t, text), Question{Offset: -1, Lines: 1 << 30})
	if err != nil || p.Offset != int64(len(text)-maxTail) {
		t.Errorf("offset %d of %d: %v", p.Offset, p.Size, err)
	}
}

func TestOwnLog(t *testing.T) {
	f := file(t, "x")
	other := file(t, "x").Name()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(f.Name(), link); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		stderr         *os.File
		link, variable string
		journal        string
		want           string // a path, or a part of the error
	}{
		"linked":            {f, link, "", "", f.Name()},
		"named":             {f, "", f.Name(), "", f.Name()},
		"named wrongly":     {f, "", other, "", "whose name is not known"},
		"a device":          {null, link, f.Name(), "", "logs to a terminal or device"},
		"a pipe":            {w, link, f.Name(), "", "by a pipe"},
		"systemd's journal": {w, "", "", "8:1", fmt.Sprintf("journalctl _PID=%d", os.Getpid())},
	} {
		t.Setenv(LogVariable, test.variable)
		t.Setenv("JOURNAL_STREAM", test.journal)
		path, err := ownLog(test.stderr, test.link)
		if got := path; got != test.want && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %q, %v", name, path, err)
		}
	}
}

// whole takes a profile, and asks for all of its pieces.
func whole(t *testing.T, p *Profiles, of Profile) (all []byte, err error) {
	t.Helper()
	taken, err := p.find(of)
	if err != nil {
		return nil, err
	}
	<-taken.done
	for {
		piece, err := p.Answer(Question{Profile: &of, Offset: int64(len(all))})
		if err != nil || piece.Pending {
			return nil, err
		}
		if all = append(all, piece.Data...); int64(len(all)) == piece.Size {
			return all, nil
		}
	}
}

func TestProfiles(t *testing.T) {
	var p Profiles
	defer p.Close()
	for i, test := range []struct{ kind, sample string }{{"cpu", "nanoseconds"}, {"heap", "inuse_space"}, {"goroutine", "goroutine"}} {
		data, err := whole(t, &p, Profile{ID: fmt.Sprint(i), Kind: test.kind, Seconds: 1})
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", test.kind, err)
		}
		if text, err := io.ReadAll(z); err != nil || !bytes.Contains(text, []byte(test.sample)) {
			t.Errorf("%s has no samples of %s: %v", test.kind, test.sample, err)
		}
	}
	if len(p.kept) != keptProfiles {
		t.Errorf("%d profiles are kept", len(p.kept))
	}
}

// TestLongProfile: the profiles that others take meanwhile do not end it.
func TestLongProfile(t *testing.T) {
	var p Profiles
	defer p.Close()
	long, err := p.find(Profile{ID: "long", Kind: "cpu", Seconds: MaxSeconds})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * keptProfiles {
		if _, err := whole(t, &p, Profile{ID: fmt.Sprint(i), Kind: "goroutine"}); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := p.find(long.Profile); err != nil || now != long || long.isTaken() {
		t.Errorf("%+v %v, want the one that was begun", now, err)
	}
}

// TestCPUProfile: one is taken at a time, Close ends it, and what cannot be is refused.
func TestCPUProfile(t *testing.T) {
	var p Profiles
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := whole(t, &p, Profile{ID: "1", Kind: "cpu", Seconds: MaxSeconds}); err == nil || !strings.Contains(err.Error(), "another CPU profile") {
		t.Error(err)
	}
	pprof.StopCPUProfile()
	if piece, err := p.Answer(Question{Profile: &Profile{ID: "2", Kind: "cpu", Seconds: MaxSeconds}}); err != nil || !piece.Pending {
		t.Errorf("%+v %v", piece, err)
	}
	p.Close()
	for _, bad := range []Profile{{}, {ID: "x", Kind: "block"}, {ID: "x", Kind: "cpu"}, {ID: "x", Kind: "cpu", Seconds: MaxSeconds + 1}, {ID: "late", Kind: "heap"}} {
		if _, err := p.Answer(Question{Profile: &bad}); err == nil {
			t.Errorf("%+v is answered", bad)
		}
	}
}
