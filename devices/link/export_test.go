package link

// MakingName is the name of a host end that is being made for an owner.
var MakingName = makingName
