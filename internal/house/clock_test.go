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
}

// TestWallClock (row 29 of docs/faults.md) finds arithmetic with the wall clock, by types: Sub, Since, Until, Before, After and
// Compare of a time that came out of a record (a field with a JSON tag), of a file, of a number or a text, or that UTC and
// others have stripped; and differences and comparisons of Unix times.
func TestWallClock(t *testing.T) {
	found := map[string][]string{}
	for _, p := range typed(t) {
		s := &search{info: p.info, wall: map[types.Object]bool{}}
		for known := -1; known < len(s.wall); { // what one function makes, another is given
			known = len(s.wall)
			p.eachFunction(s.learn)
		}
		p.eachFunction(func(fn *ast.FuncDecl) {
			name := strings.TrimPrefix(p.path, module) + "." + fn.Name.Name
			for _, at := range s.find(fn.Body) {
				found[name] = append(found[name], p.fset.Position(at).String())
			}
		})
	}
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

func (p checkedPackage) eachFunction(do func(*ast.FuncDecl)) {
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				do(fn)
			}
		}
	}
}

// search looks through one package.
type search struct {
	info *types.Info
	wall map[types.Object]bool // variables, fields, parameters and functions that are, or return, a reading of a wall clock
}

// learn notes those that are given one.
func (s *search) learn(fn *ast.FuncDecl) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if len(n.Lhs) == len(n.Rhs) && s.isWall(n.Rhs[i]) {
					s.note(s.object(l))
				}
			}
		case *ast.CompositeLit:
			s.fields(n)
		case *ast.CallExpr:
			s.parameters(n)
		case *ast.FuncLit:
			return false // what it returns is not the function's
		case *ast.ReturnStmt:
			for _, r := range n.Results {
				if s.isWall(r) {
					s.note(s.info.Defs[fn.Name])
				}
			}
		}
		return true
	})
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

// typed type-checks the module's code, but for its tests, against what the compiler has exported.
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
	var all []checkedPackage
	for _, p := range own {
		c := checkedPackage{path: p.ImportPath, fset: fset, info: &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			c.files = append(c.files, f)
		}
		if _, err := (&types.Config{Importer: from}).Check(p.ImportPath, fset, c.files, c.info); err != nil {
			t.Fatalf("%s: %v", p.ImportPath, err)
		}
		all = append(all, c)
	}
	return all
}
