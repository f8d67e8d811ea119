package link

// MakingGroup is the group of a host end that is being made for an owner.
var MakingGroup = makingGroup
