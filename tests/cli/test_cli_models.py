def test_models_are_listed_with_the_default_first(geosam):
    done = geosam("models")
    assert (done.code, done.err) == (0, "")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert names[0] == "regions"
    assert "threshold" in names
    listed = geosam("models", "--json").json
    assert [model["name"] for model in listed["models"]] == names
    assert listed["exit_code"] == 0


def test_an_unknown_subcommand_is_a_usage_error(geosam):
    done = geosam("models", "nonsense")
    assert done.code == 2
    assert "nonsense" in done.error()
