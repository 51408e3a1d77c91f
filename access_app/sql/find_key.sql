-- The valid key of %(key_hash)s, with its owner and what the owner is permitted: the rights of a key end with theirs.
-- Not the ORM, because every request of the API runs it, and building it cost more than running it. One row, by the
-- unique index of key_hash and the primary key of accounts; permissions are read only for owners who are no superusers.
-- A key with an owner is refused when that account is gone, inactive or no longer staff.
SELECT k.id, k.name, k.prefix, k.scopes, k.created_by, k.owner_id, k.expires_at, k.last_used_at,
       o.username AS owner_name,
       CASE WHEN NOT o.is_superuser THEN account_permissions(o.id) END AS owner_permissions
  FROM api_keys k LEFT JOIN auth_user o ON o.id = k.owner_id AND o.is_active AND o.is_staff
 WHERE k.key_hash = %(key_hash)s AND k.revoked_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
   AND (k.owner_id IS NULL OR o.id IS NOT NULL)
