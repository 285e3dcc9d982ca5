-- What was the matter with each camera's picture, and when: intervals that never overlap. The open one holds up to `camera_watch.until`,
-- the time up to which somebody watched; what lies between two intervals was watched by nobody.
CREATE TABLE camera_condition (
    camera    text NOT NULL,
    began     timestamptz NOT NULL,
    ended     timestamptz,
    condition text NOT NULL CHECK (condition IN ('ok', 'missing', 'black', 'frozen', 'moved', 'blurred', 'late')),
    CHECK (ended > began),
    PRIMARY KEY (camera, began)
);
CREATE UNIQUE INDEX camera_condition_open ON camera_condition (camera) WHERE ended IS NULL;

CREATE TABLE camera_watch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);

-- What a camera looks at when all is well. A person who accepts another view begins a new lesson: the view is forgotten until it
-- is learnt again.
CREATE TABLE camera_view (
    camera text PRIMARY KEY,
    lesson integer NOT NULL DEFAULT 0,
    learnt timestamptz,
    view   bytea,
    CHECK ((learnt IS NULL) = (view IS NULL))
);
