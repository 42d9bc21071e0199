"""Who gets the next lead: fair rotation, the methods of sharing, caps, skills, and the working state of the pools. Pure."""
