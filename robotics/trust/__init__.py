"""How far a generated world's verdict on policies can be trusted: agreement with MuJoCo, beside what chance alone allows."""
