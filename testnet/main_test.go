package testnet_test

import (
	"os"
	"slices"
	"testing"

	"shoal/testnet"
)

func TestMain(m *testing.M) { os.Exit(testnet.Main(m)) }

// big skips a test that moves much data or takes long, under -short.
func big(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("moves much data")
	}
}

// received sums the bytes that a fetch got from peers.
func received(from map[string]int64) (sum int64) {
	for _, n := range from {
		sum += n
	}
	return sum
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
