-- Saved views. Column query holds path and query of the page.

-- name: saved_views
SELECT id, name, query AS address, owner, created_at AS saved_at FROM saved_view ORDER BY lower(name), owner, id;

-- name: replace_view
-- Id of the owner's view of this name, which leads to the new address then; nothing when there is none.
UPDATE saved_view SET query = :address, created_at = :now WHERE owner = :owner AND name = :name RETURNING id;

-- name: add_view!
INSERT INTO saved_view (id, name, query, owner, created_at) VALUES (:id, :name, :address, :owner, :now)
ON CONFLICT (id) DO NOTHING;

-- name: delete_view
-- Name of what was deleted; nothing when there is no such view.
DELETE FROM saved_view WHERE id = :id RETURNING name;
