package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"shoal": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/*.txtar: sessions as a person has them, on the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Nothing of the user's own shoal must be seen or touched.
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("SHOAL_HOME", filepath.Join(e.WorkDir, "home"))
			e.Values[procsKey{}] = map[string]*proc{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": cmdDaemon, "background": cmdBackground, "halt": cmdHalt, "exits": cmdExits, "random": cmdRandom, "setenv": cmdSetenv, "text": cmdText,
		},
	})
}
