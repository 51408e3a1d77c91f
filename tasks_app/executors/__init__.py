"""What runs a task of each type. A new type is one file here and one line of ``registry``."""
