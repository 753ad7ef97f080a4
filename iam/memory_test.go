package iam_test

import (
	"testing"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) iam.Store { return iam.NewMemory() })
}
