package iam_test

import (
	"bytes"
	"testing"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) iam.Store { return iam.NewMemory() })
}

func TestSealedStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store {
		s, err := iam.NewSealed(iam.NewMemory(), bytes.Repeat([]byte{1}, iam.StoreKeyBytes))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
