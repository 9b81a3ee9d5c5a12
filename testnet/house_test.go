package testnet_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house, which hold for the whole repository. They are read off the sources, for all platforms at once.

// topLevel are the names that the repository may have at its root, besides dot-files.
var topLevel = []string{
	"chunker", "cmd", "dht", "examples", "node", "testnet", "transfer",
	"LICENSE", "README.md", "go.mod", "go.sum",
}

// mayImport says which packages of this module the packages at and below a folder may import, tests apart: themselves and
// what is at or below the folders listed. The longest matching folder counts.
var mayImport = map[string][]string{
	"chunker":        {"chunker"},
	"dht":            {"dht"},
	"transfer":       {"transfer"},
	"transfer/wire":  {"transfer/wire"},
	"transfer/sched": {"transfer/sched"},

	"transfer/pairsum": {"transfer/pairsum"},
	"node":             {"node", "chunker", "dht", "transfer"},
	"node/api":         {"node/api"},
	"node/store":       {"node/store", "chunker"},
	"cmd":              {"cmd", "node", "chunker"},
	"examples":         {"examples", "node"},
	"testnet":          {"testnet", "node"},
	"testnet/bench":    {"testnet", "node", "chunker", "dht", "transfer"},
}

// leaves are the packages that have to stay usable alone; their tests keep to it as well.
var leaves = []string{"chunker", "dht", "transfer"}

// goFile is a source file: its folder, its name, and the folders of this module that it imports.
type goFile struct {
	dir, name string
	imports   []string
	documents bool // has a package comment
}

func (f goFile) test() bool { return strings.HasSuffix(f.name, "_test.go") }

// module is the root of this repository.
func module(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return root
}

// sources parses the heads of all Go files.
func sources(t *testing.T) (files []goFile) {
	t.Helper()
	root := module(t)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata") {
			return fs.SkipDir
		}
		if e.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		f := goFile{dir: filepath.ToSlash(dir), name: e.Name(), documents: parsed.Doc != nil}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if below, ok := strings.CutPrefix(name, "shoal/"); ok {
				f.imports = append(f.imports, below)
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

// within says whether a folder is at or below another.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

func TestImportDirections(t *testing.T) {
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		rule := ""
		for folder := range mayImport {
			if within(f.dir, folder) && len(folder) > len(rule) {
				rule = folder
			}
		}
		if rule == "" {
			t.Errorf("%s/%s: no rule says what it may import", f.dir, f.name)
			continue
		}
		for _, imported := range f.imports {
			if !slices.ContainsFunc(mayImport[rule], func(folder string) bool { return within(imported, folder) }) {
				t.Errorf("%s/%s imports %s; packages in %s may import %v", f.dir, f.name, imported, rule, mayImport[rule])
			}
		}
	}
}

// TestOneWiring holds that node alone, not a package below it, knows more than one of the leaves.
func TestOneWiring(t *testing.T) {
	known := map[string]map[string]bool{} // folder to the leaves that it imports
	for _, f := range sources(t) {
		if f.test() || within(f.dir, "testnet/bench") {
			continue
		}
		for _, imported := range f.imports {
			for _, leaf := range leaves {
				if within(imported, leaf) && !within(f.dir, leaf) {
					if known[f.dir] == nil {
						known[f.dir] = map[string]bool{}
					}
					known[f.dir][leaf] = true
				}
			}
		}
	}
	for dir, set := range known {
		if len(set) > 1 && dir != "node" {
			t.Errorf("%s knows %d of the leaves; only node may", dir, len(set))
		}
	}
}

func TestLeavesStandAlone(t *testing.T) {
	for _, f := range sources(t) {
		for _, leaf := range leaves {
			if !within(f.dir, leaf) {
				continue
			}
			for _, imported := range f.imports {
				if !within(imported, leaf) {
					t.Errorf("%s/%s imports %s; %s stands alone, in its tests too", f.dir, f.name, imported, leaf)
				}
			}
		}
	}
}

func TestDocumented(t *testing.T) {
	packages := map[string]bool{} // folder to whether its doc.go documents it
	for _, f := range sources(t) {
		if !f.test() {
			packages[f.dir] = packages[f.dir] || f.name == "doc.go" && f.documents
		}
	}
	for dir, ok := range packages {
		if !ok {
			t.Errorf("%s has no doc.go with a package comment", dir)
		}
	}
}

func TestExamplesAreTested(t *testing.T) {
	examples, err := os.ReadDir(filepath.Join(module(t), "examples"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		tests, err := filepath.Glob(filepath.Join(module(t), "examples", e.Name(), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsDir() || len(tests) == 0 {
			t.Errorf("examples/%s is no folder with a test", e.Name())
		}
	}
}

func TestTopLevel(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = module(t)
	out, err := cmd.Output()
	if err != nil {
		t.Skip("not a git work tree:", err)
	}
	for _, path := range strings.Fields(string(out)) {
		name, _, _ := strings.Cut(path, "/")
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s is at the top; the design has %v", name, topLevel)
		}
	}
}
