package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// wallClock is where a duration, or an order, is made of readings of a wall clock: of one that was stored, sent, or stripped of
// its monotonic part. A clock that jumps changes what is done there, so each has a reason why that does no harm. By
// "package.function".
var wallClock = map[string]string{
	"internal/jobmanager/execution.viewCheckpoints": "shown only: how long a checkpoint took, which two leaders may have measured",
	"internal/jobmanager/execution.viewRequests":    "shown only: how long a change took, likewise",
	"internal/jobmanager.recent":                    "shown only: which jobs that ended metrics still tell of",
	"internal/jobmanager.compareClock":              "tells how far two clocks are apart, which is what it is for",
	"internal/diagnose.clockFinding":                "likewise",
	"internal/jobmanager.forgetDead":                "a day: forgotten too early are TaskManagers that no job names",
	"internal/jobmanager.standingBy":                "shown only: which of two processes at one address began later, until it has connected",
	"internal/jobmanager.expired":                   "days: jobs that ended are forgotten too early, or too late, and their ids refused",
	"internal/jobmanager.sort":                      "since when a name is garbage outlives leaders; the leader's own time in office counts as well, by its monotonic clock",
	"internal/operator.milliseconds":                "the time of a timer, which is a time of day and no duration",
	"internal/jobmanager/execution.leaseWait":       "shown only: until when a job waits for a lease",
	"cmd/perennial.leaseWait":                       "likewise",
	"cmd/perennial.follow":                          "shown only: how long a job took",
	"internal/simulator.wrongWith":                  "the clock of a bubble, which nobody sets",
	"benchmarks.since":                              "one host, whose clock nobody sets meanwhile",
	"benchmarks.nextCheckpoint":                     "likewise",
	"benchmarks.longestGap":                         "likewise",
	"benchmarks.largeCheckpoints":                   "likewise",
	"benchmarks.stopAndContinueOnce":                "likewise",
	"benchmarks.loseQuorum":                         "likewise",
	"benchmarks.restarted":                          "likewise",
	"benchmarks.rescaleOnce":                        "likewise",
	"internal/checkpoint.Due":                       "a jump has one checkpoint come, or be given up, too early or an interval late, and stops none: TestAJumpingClockStopsNoCheckpoint",
	"internal/checkpoint.after":                     "likewise",
	"internal/checkpoint.Expired":                   "likewise",
	"internal/jobmanager.next":                      "likewise",
	"examples/sessions.sessions":                    "event time, which is a time of day and no duration",
	"examples/sessions.add":                         "likewise",
	"examples/sessions.union":                       "likewise",
}

// wallClockCases are bodies of functions of (at time.Time, r Record), and whether they compute with the wall clock.
var wallClockCases = map[string]bool{
	"_ = time.Since(at)":                                                          false,
	"began := time.Now(); _ = time.Now().Sub(began)":                              false,
	"_ = time.Now().Add(time.Second).Before(at)":                                  false,
	"_ = time.Since(r.At)":                                                        true,
	"_ = at.After(r.At)":                                                          true,
	"_ = r.Own.Sub(at)":                                                           false,
	"_ = at.UTC().Sub(at)":                                                        true,
	"_ = time.Unix(1, 0).Before(at)":                                              true,
	"then := time.UnixMilli(1); _ = time.Until(then)":                             true,
	"var then = time.UnixMilli(1); _ = time.Until(then)":                          true,
	`then, err := time.Parse(time.RFC3339, ""); _, _ = time.Since(then), err`:     true,
	"func() { then := at.Round(0); _ = at.Sub(then) }()":                          true,
	"f := func() time.Time { return time.Unix(1, 0) }; _ = f; _ = time.Since(at)": false,
	"_ = time.Since(stored())":                                                    true,
	"then, n := both(); _, _ = time.Since(then), n":                               true,
	"_ = time.Now().Unix() - 5":                                                   true,
	"_ = time.Now().UnixNano() > 5":                                               true,
	"_ = time.Now().Unix()":                                                       false,
	"given(r.At)":                                                                 false, // but in it
	"_ = r.At.Add(time.Second).After(at)":                                         true,
}

// TestWallClockFinds: what TestWallClock is to find it finds, and nothing else.
func TestWallClockFinds(t *testing.T) {
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "source", nil) // reads the time package once
	for body, want := range wallClockCases {
		text := `package p
import "time"
type Record struct { At time.Time ` + "`json:\"at\"`" + `; Own time.Time }
func stored() time.Time { return time.Unix(1, 0) }
func both() (time.Time, int) { return time.Unix(1, 0), 1 }
func given(then time.Time) { _ = time.Since(then) }
func f(at time.Time, r Record) { ` + body + ` }`
		p := checkedPackage{path: module + "p", fset: fset, info: newInfo()}
		file, err := parser.ParseFile(p.fset, "p.go", text, 0)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		p.files = []*ast.File{file}
		if _, err := (&types.Config{Importer: from}).Check(p.path, p.fset, p.files, p.info); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		found := wallClocks([]checkedPackage{p})
		if (len(found["p.f"]) > 0) != want {
			t.Errorf("%s: found %v", body, found)
		}
		if strings.HasPrefix(body, "given") != (len(found["p.given"]) > 0) {
			t.Errorf("%s: what it gives away is %v", body, found)
		}
	}
}

// TestWallClock (row 29 of docs/faults.md) finds arithmetic with the wall clock, by types: Sub, Since, Until, Before, After and
// Compare of a time that came out of a record (a field with a JSON tag), of a file, of a number or a text, or that UTC and
// others have stripped, through variables, results and parameters of all packages; and differences and comparisons of Unix
// times. It does not follow a time through a list, a channel, an interface or a number in a variable.
func TestWallClock(t *testing.T) {
	found := wallClocks(typed(t))
	for name, places := range found {
		if wallClock[name] == "" {
			t.Errorf("%s computes with the wall clock: keep a reading of this process's own clock, or give the reason in wallClock:\n\t%s", name, strings.Join(places, "\n\t"))
		}
	}
	for name := range wallClock {
		if found[name] == nil {
			t.Errorf("%s is in wallClock, and computes with no wall clock", name)
		}
	}
}

// wallClocks lists where packages compute with the wall clock, by function.
func wallClocks(all []checkedPackage) map[string][]string {
	wall := map[types.Object]bool{}
	for known := -1; known < len(wall); { // what one function makes, another is given
		known = len(wall)
		for _, p := range all {
			p.eachFunction((&search{p.info, wall}).learn)
		}
	}
	found := map[string][]string{}
	for _, p := range all {
		s := &search{p.info, wall}
		p.eachFunction(func(fn *ast.FuncDecl) {
			name := strings.TrimPrefix(p.path, module) + "." + fn.Name.Name
			for _, at := range s.find(fn.Body) {
				found[name] = append(found[name], p.fset.Position(at).String())
			}
		})
	}
	return found
}

func (p checkedPackage) eachFunction(do func(*ast.FuncDecl)) {
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				do(fn)
			}
		}
	}
}

// search looks through one package, and knows of all.
type search struct {
	info *types.Info
	wall map[types.Object]bool // variables, fields, parameters and functions that are, or return, a reading of a wall clock
}

// learn notes those that are given one.
func (s *search) learn(fn *ast.FuncDecl) { s.learnFrom(fn.Body, s.info.Defs[fn.Name]) }

// learnFrom looks at a body whose returns are fn's, or, if that is nil, those of a function without a name.
func (s *search) learnFrom(body ast.Node, fn types.Object) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			s.given(n.Lhs, n.Rhs)
		case *ast.ValueSpec:
			var names []ast.Expr
			for _, name := range n.Names {
				names = append(names, name)
			}
			s.given(names, n.Values)
		case *ast.CompositeLit:
			s.fields(n)
		case *ast.CallExpr:
			s.parameters(n)
		case *ast.FuncLit:
			s.learnFrom(n.Body, nil)
			return false
		case *ast.ReturnStmt:
			for _, r := range n.Results {
				if s.isWall(r) {
					s.note(fn)
				}
			}
		}
		return true
	})
}

// given notes what is assigned; of a call with several results, those that are times.
func (s *search) given(left, right []ast.Expr) {
	for i, l := range left {
		switch {
		case len(left) == len(right):
			if s.isWall(right[i]) {
				s.note(s.object(l))
			}
		case len(right) == 1 && s.isWall(right[0]):
			if o := s.object(l); o != nil && types.TypeString(o.Type(), nil) == "time.Time" {
				s.note(o)
			}
		}
	}
}

func (s *search) note(o types.Object) {
	if o != nil && o.Name() != "_" {
		s.wall[o] = true
	}
}

// object is the variable or field that an expression names.
func (s *search) object(e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return s.info.ObjectOf(e)
	case *ast.SelectorExpr:
		return s.info.ObjectOf(e.Sel)
	}
	return nil
}

func (s *search) fields(l *ast.CompositeLit) {
	of, _ := s.info.TypeOf(l).Underlying().(*types.Struct)
	for i, e := range l.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok {
			if of != nil && s.isWall(pair.Value) {
				s.note(s.object(pair.Key))
			}
		} else if of != nil && s.isWall(e) {
			s.note(of.Field(i))
		}
	}
}

func (s *search) parameters(call *ast.CallExpr) {
	f, ok := s.object(call.Fun).(*types.Func)
	if !ok || f.Pkg() == nil || !strings.HasPrefix(f.Pkg().Path()+"/", module) {
		return
	}
	for i, arg := range call.Args {
		if params := f.Signature().Params(); i < params.Len() && s.isWall(arg) {
			s.note(params.At(i))
		}
	}
}

// find lists where two times are compared, one of which is a wall clock's.
func (s *search) find(body ast.Node) (at []token.Pos) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if s.compares(n) {
				at = append(at, n.Pos())
			}
		case *ast.BinaryExpr:
			switch n.Op {
			case token.SUB, token.LSS, token.GTR, token.LEQ, token.GEQ:
				if s.isUnix(n.X) || s.isUnix(n.Y) {
					at = append(at, n.Pos())
				}
			}
		}
		return true
	})
	return at
}

func (s *search) compares(call *ast.CallExpr) bool {
	switch f := s.called(call); {
	case f == "time.Since", f == "time.Until":
		return s.isWall(call.Args[0])
	case slices.Contains([]string{"Sub", "Before", "After", "Compare"}, strings.TrimPrefix(f, "time.Time.")):
		receiver := call.Fun.(*ast.SelectorExpr).X
		return s.isWall(receiver) || s.isWall(call.Args[0])
	}
	return false
}

// called names a function or method: time.Since, time.Time.Sub.
func (s *search) called(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	f, ok := s.info.ObjectOf(sel.Sel).(*types.Func)
	if !ok || f.Pkg() == nil {
		return ""
	}
	if recv := f.Signature().Recv(); recv != nil {
		return strings.TrimPrefix(types.TypeString(recv.Type(), nil), "*") + "." + f.Name()
	}
	return f.Pkg().Path() + "." + f.Name()
}

func (s *search) isUnix(e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	return ok && slices.Contains([]string{"time.Time.Unix", "time.Time.UnixMilli", "time.Time.UnixMicro", "time.Time.UnixNano"}, s.called(call))
}

// strips are what makes a wall clock's reading, or makes one of a reading.
var strips = []string{
	"time.Unix", "time.UnixMilli", "time.UnixMicro", "time.Date", "time.Parse", "time.ParseInLocation",
	"time.Time.UTC", "time.Time.Local", "time.Time.In", "time.Time.Round", "time.Time.Truncate", "time.Time.AddDate",
	"io/fs.FileInfo.ModTime", "os.FileInfo.ModTime",
}

// isWall tells whether an expression is known to be a wall clock's reading.
func (s *search) isWall(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.StarExpr:
		return s.isWall(e.X)
	case *ast.Ident:
		return s.wall[s.info.ObjectOf(e)]
	case *ast.UnaryExpr:
		return s.isWall(e.X)
	case *ast.SelectorExpr:
		return s.wall[s.info.ObjectOf(e.Sel)] || s.isRecorded(e)
	case *ast.CallExpr:
		if s.wall[s.object(e.Fun)] {
			return true
		}
		f := s.called(e)
		if f == "time.Time.Add" {
			return s.isWall(e.Fun.(*ast.SelectorExpr).X)
		}
		return slices.Contains(strips, f)
	}
	return false
}

// isRecorded tells whether it is a field that is written to records and messages.
func (s *search) isRecorded(e *ast.SelectorExpr) bool {
	selection := s.info.Selections[e]
	if selection == nil || selection.Kind() != types.FieldVal || !strings.HasSuffix(types.TypeString(selection.Type(), nil), "time.Time") {
		return false
	}
	in := selection.Recv()
	tag := ""
	for _, i := range selection.Index() {
		if p, ok := in.Underlying().(*types.Pointer); ok {
			in = p.Elem()
		}
		st, ok := in.Underlying().(*types.Struct)
		if !ok {
			return false
		}
		tag, in = st.Tag(i), st.Field(i).Type()
	}
	_, recorded := reflect.StructTag(tag).Lookup("json")
	return recorded
}

// checkedPackage is one of the module's, with its types.
type checkedPackage struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

func newInfo() *types.Info {
	return &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
}

// checked are the module's packages that were type-checked, so that an object is the same in each; others are as exported.
type checked struct {
	types.Importer
	own map[string]*types.Package
}

func (c checked) Import(path string) (*types.Package, error) {
	if p := c.own[path]; p != nil {
		return p, nil
	}
	return c.Importer.Import(path)
}

// typed type-checks the module's code, but for its tests, each package after those that it imports, and against what the
// compiler has exported of others.
func typed(t *testing.T) []checkedPackage {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,Module", "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
		Module                  *struct{ Main bool }
	}
	exports, own := map[string]string{}, []listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main {
			own = append(own, p)
		}
	}
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	known := checked{from, map[string]*types.Package{}}
	var all []checkedPackage
	for _, p := range own { // go list has them in this order
		c := checkedPackage{path: p.ImportPath, fset: fset, info: newInfo()}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			c.files = append(c.files, f)
		}
		var err error
		if known.own[p.ImportPath], err = (&types.Config{Importer: known}).Check(p.ImportPath, fset, c.files, c.info); err != nil {
			t.Fatalf("%s: %v", p.ImportPath, err)
		}
		all = append(all, c)
	}
	return all
}
