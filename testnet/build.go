package testnet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// BinaryEnv names the shoal binary to test. Unset: it is built from this tree.
const BinaryEnv = "SHOAL_BIN"

// Build compiles cmd/shoal as it is released (static, without cgo) into dir and returns its path. The working directory must be
// in this module.
func Build(dir string) (string, error) {
	bin := filepath.Join(dir, "shoal")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	cmd := exec.Command("go", "build", "-o", bin, "shoal/cmd/shoal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build shoal: %w\n%s", err, out)
	}
	return bin, nil
}

// Main builds the binary once for a whole package, runs its tests and removes it; call it from TestMain. Without it each
// Start builds its own, which costs a link.
func Main(m *testing.M) int {
	if os.Getenv(BinaryEnv) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "shoal-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testnet:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin, err := Build(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testnet:", err)
		return 1
	}
	os.Setenv(BinaryEnv, bin)
	return m.Run()
}

// binary is the shoal binary under test.
func binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv(BinaryEnv); bin != "" {
		return bin
	}
	bin, err := Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Binary is the shoal that the tests run, for those that start it in a way of their own.
func Binary(t testing.TB) string { return binary(t) }
