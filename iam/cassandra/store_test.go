package cassandra

import (
	"testing"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store { return newStore(t) })
}
