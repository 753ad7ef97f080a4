package dispatch

import "sluice/bus"

// Settler is told what became of what an Outlet published. An Outlet's errors are
// those of this package.
type Settler = bus.Settler
