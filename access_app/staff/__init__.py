"""What the pages of the staff UI share: lists that count nothing, pages of one row, filters, how values look."""
