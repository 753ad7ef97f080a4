package auth

import "sluice/codec"

// ServiceAccess reads what a service request asks for from the parsed body, which
// is also what will be forwarded. Import, export and the other surfaces have no
// such body: their Access is written by hand.
func ServiceAccess(surface Surface, req *codec.Request) Access {
	a := Access{Surface: surface, Kind: req.Kind()}
	a.Operation, a.HasOperation = req.Operation()
	if a.Kind == codec.IAM {
		a.readIAM(req)
	}
	return a
}

func (a *Access) readIAM(req *codec.Request) {
	owner := req.Member("user_id")
	if string(a.Operation) == "create-api-key" {
		owner = req.Member("key").Get("user_id")
	}
	a.UserID, _ = owner.String()
	a.KeyID, _ = req.Member("key_id").String()
	user := req.Member("user")
	// A `user` that is neither object nor null is a mistake that IAM or the
	// codec will refuse; until then it may hold anything.
	a.SetsRoles = user.Get("roles").Present() ||
		user.Present() && !user.IsNull() && !user.IsObject()
}
